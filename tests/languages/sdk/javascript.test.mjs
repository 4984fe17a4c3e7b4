// The JavaScript SDK by itself, and the way between a handler and the contract, without a component.

import assert from "node:assert/strict";
import { test } from "node:test";
import { batchHandler, messageHandler } from "../../../sdk/javascript/component.js";
import { EffectError, Message, Reject, Retry, config, outbox, state } from "../../../sdk/javascript/index.js";
import { effects } from "../../../sdk/javascript/testing.js";
import { connect } from "../../../sdk/javascript/wire.js";

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

test("effects in a test are those that it gives", async () => {
  const world = effects({ config: { region: "eu" }, state: { n: "41", text: "a" } });
  const url = "https://a.example/b";
  world.http("POST", url, { status: 201, json: { id: 1 } });
  world.http("POST", url, new TypeError("down"));
  const message = new Message({ id: "m-7" });
  const answer = await fetch(url, { method: "POST", body: '{"a":1}', headers: { x: "y" }, message });
  assert.deepEqual([answer.status, await answer.json()], [201, { id: 1 }]);
  assert.deepEqual([world.requests[0].json(), world.requests[0].headers.get("x")], [{ a: 1 }, "y"]);
  assert.equal(world.requests[0].headers.get("pelton-message"), "m-7");
  await assert.rejects(fetch(url, { method: "POST" }), /down/);
  await assert.rejects(fetch(url), /no answer for GET/);
  assert.deepEqual([config.get("region"), config.get("x"), config.all()], ["eu", undefined, { region: "eu" }]);
  assert.throws(() => config.require("x"), /grants.config/);
  assert.deepEqual([state.increment("n"), state.increment("m", -2)], [42, -2]);
  assert.throws(() => state.increment("text"), EffectError);
  assert.deepEqual([state.compareAndSet("text", "b", "c"), state.compareAndSet("text", "a", "c")], [false, true]);
  assert.equal(state.store("totals").compareAndSet("new", undefined, "1"), true);
  state.setJson("json", [1]);
  assert.deepEqual([state.getJson("json"), state.getText("text"), state.get("none")], [[1], "c", undefined]);
  state.delete("m");
  assert.deepEqual(state.list(), ["json", "n", "text"]);
  assert.equal(outbox.send("mails", "hello", { key: "k", headers: { a: "b" }, delayMs: 1.5 }), "test-1");
  const [sent] = world.sent;
  assert.deepEqual([sent.target, sent.delayMs, sent.headers[0].name, sent.key.length], ["mails", 2, "a", 1]);
  assert.throws(() => outbox.send("mails", "", { delayMs: -1 }), RangeError);
  world.restore();
  assert.throws(() => state.get("n"), /begin the test with/);
});

test("what the host answers becomes values and errors", async () => {
  const thrown = (payload) => () => { throw Object.assign(new Error(), { payload }); };
  const bucket = { get: thrown({ tag: "other", val: "too long" }), listKeys: (cursor) => (cursor ? { keys: ["b"] } : { keys: ["a"], cursor: "a" }) };
  const store = { open: (name) => (name === "default" ? bucket : thrown({ tag: "no-such-store" })()) };
  const saved = globalThis.fetch;
  connect({ store, atomics: {}, config: { get: () => null }, outbox: { send: thrown({ tag: "limit", val: "enough" }) } });
  assert.deepEqual(state.list(), ["a", "b"]);
  assert.equal(config.get("x"), undefined);
  assert.throws(() => state.get("k"), { code: "refused", message: "too long (refused)" });
  assert.throws(() => state.store("x").get("k"), { code: "not-granted" });
  assert.throws(() => outbox.send("a", "b"), { code: "limit" });
  globalThis.fetch = () => new Promise(() => {});
  connect({ http: true });
  const controller = new AbortController();
  const aborted = fetch("https://a.example", { signal: controller.signal });
  controller.abort();
  await assert.rejects(aborted, { name: "AbortError" });
  await assert.rejects(fetch("https://a.example", { timeoutMs: 1 }), { code: "HTTP-response-timeout" });
  globalThis.fetch = async (url, init) => [url, init];
  connect({ http: true });
  assert.deepEqual(await fetch("https://a.example", { method: "PUT", timeoutMs: 9 }), ["https://a.example", { method: "PUT" }]);
  connect({ http: false });
  assert.throws(() => state.get("k"), /add `uses = \["state"\]` to handler.toml/);
  globalThis.fetch = saved;
});
