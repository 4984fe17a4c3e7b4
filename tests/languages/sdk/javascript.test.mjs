// The JavaScript SDK by itself, and the way between a handler and the contract, without a component.

import assert from "node:assert/strict";
import { test } from "node:test";
import { batchHandler, messageHandler } from "../../../sdk/javascript/component.js";
import { Message, Reject, Retry } from "../../../sdk/javascript/index.js";

const given = (body = "{}") => ({ ...new Message({ body }), publishedAtMs: 5n });
const refused = async (handle) => {
  try {
    await messageHandler(handle).handle(given());
  } catch (error) {
    return error;
  }
  return undefined;
};

test("messages are read, and what cannot be is rejected", () => {
  const message = new Message({ body: '{"a":1}', headers: [{ name: "t", value: "1" }, { name: "t", value: "2" }] });
  assert.deepEqual(message.json(), { a: 1 });
  assert.equal(message.header("t"), "1");
  assert.equal(message.header("T"), undefined);
  assert.throws(() => new Message({ body: "{" }).json(), Reject);
  assert.throws(() => new Message().json(), /empty/);
  assert.throws(() => new Message({ body: new Uint8Array([255]) }).text(), Reject);
  assert.deepEqual(new Message({ headers: { a: "b" } }).headers[0].name, "a");
});

test("failures are those of the contract", async () => {
  assert.equal(await refused(() => {}), undefined);
  assert.deepEqual(await refused(() => { throw new Reject("no"); }), { tag: "reject", val: "no" });
  const retry = await refused(async () => { throw new Retry("busy", { afterMs: 1.2 }); });
  assert.deepEqual(retry, { tag: "retry", val: { reason: "busy", afterMs: 2n } });
  const huge = await refused(() => { throw new Retry("busy", { afterMs: 1e300 }); });
  assert.equal(huge.val.afterMs, 2n ** 64n - 1n);
  assert.throws(() => new Retry("busy", { afterMs: -1 }), RangeError);
});

test("what nobody meant is a retry with its words", async () => {
  const uncaught = await refused(() => { throw new TypeError("oops", { cause: new Error("deep") }); });
  assert.equal(uncaught.tag, "retry");
  assert.match(uncaught.val.reason, /^uncaught TypeError: oops/);
  assert.match(uncaught.val.reason, /caused by Error: deep/);
  assert.match((await refused(() => { throw "text"; })).val.reason, /^uncaught text/);
});

test("the times that cross as 64 bits are numbers", async () => {
  await messageHandler((message) => assert.equal(message.publishedAtMs, 5)).handle(given());
});

test("a batch answers for each message, and the one to blame is found", async () => {
  const tags = async (handle, bodies) => (await batchHandler(handle).handleBatch(bodies.map(given))).map((r) => r.val?.tag ?? r.tag);
  assert.deepEqual(await tags(() => undefined, ["1", "2"]), ["ok", "ok"]);
  assert.deepEqual(await tags(() => [undefined, new Reject("no")], ["1", "2"]), ["ok", "reject"]);
  const strict = (messages) => messages.map((message) => void message.json().a);
  assert.deepEqual(await tags(strict, ["{}", "null", "{}"]), ["ok", "retry", "ok"]);
  const short = await batchHandler(() => []).handleBatch([given()]);
  assert.match(short[0].val.val.reason, /0 results for 1 messages/);
});
