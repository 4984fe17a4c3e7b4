// Every effect, as the test of effects wants it.

import { config, outbox, Reject, state } from "pelton";

const decoder = new TextDecoder();

/** @param {import("pelton").Message} message */
export default async function handle(message) {
  const order = message.json();
  if (order.receipt !== undefined) {
    console.log(`receipt ${order.receipt} of ${decoder.decode(message.key)}, ${message.header("kind")}`);
    return;
  }
  let answer, body;
  try {
    const headers = { "x-order": String(order.id), "content-type": "application/json" };
    answer = await fetch(config.require("gateway") + order.path, { method: "POST", headers, body: JSON.stringify(order), message, timeoutMs: 2000 });
    body = await answer.text();
  } catch (error) {
    throw new Reject(String(error));
  }
  if (!answer.ok) throw new Error(`${answer.status}: ${body}`);
  const count = state.increment("count");
  if (state.compareAndSet("first", undefined, String(order.id))) console.log("the first");
  state.delete("gone");
  const total = (state.store("totals").getJson("all") ?? 0) + order.cents;
  state.store("totals").setJson("all", total);
  console.log(`${answer.status} ${body.length} ${count} ${state.list().sort().join(",")}`);
  outbox.send("receipts", JSON.stringify({ receipt: order.id }), { key: "k", headers: { kind: "r" }, delayMs: 1 });
  if (order.nowhere) outbox.send("nowhere", "");
}
