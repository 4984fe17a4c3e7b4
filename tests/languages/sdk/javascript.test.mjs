// The JavaScript SDK by itself, and the way between a handler and the contract, without a component.

import assert from "node:assert/strict";
import { test } from "node:test";
import { batchHandler, messageHandler } from "../../../sdk/javascript/component.js";
import { EffectError, Message, Reject, Retry, config, outbox, sql, state } from "../../../sdk/javascript/index.js";
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
  assert.equal(message.traceparent, undefined);
  const traced = new Message({ headers: [{ name: "traceparent", value: "a" }, { name: "TraceParent", value: "b" }] });
  assert.equal(traced.traceparent, "b");
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

test("a template makes parameters, and statements are answered by their text", () => {
  const world = effects();
  world.sql("select item, stock from items", { rows: [{ item: "tea", stock: 3 }] });
  world.sql("update items", new EffectError("23514", "no", { constraint: "stock_not_negative" }));
  const db = sql("shop");
  const id = "7'; drop table items; --";
  const rows = db`select item, stock
                    from items where id = ${id} and since < ${new Date(0)}`;
  assert.deepEqual([...rows], [{ item: "tea", stock: 3 }]);
  assert.deepEqual([rows.affected, rows.columns[0].name], [1, "item"]);
  assert.match(world.statements[0].text, /where id = \$1 and since < \$2$/);
  assert.deepEqual(world.statements[0].parameters, [id, "1970-01-01T00:00:00.000Z"]);
  assert.throws(() => db.execute`update items set stock = ${-1}`, { code: "23514", constraint: "stock_not_negative" });
  assert.throws(() => db.query("select 1"), { code: "25P02" });
  db.stage("insert into log values ($1)", undefined);
  assert.deepEqual(world.staged, [{ database: "shop", text: "insert into log values ($1)", parameters: [null] }]);
  assert.throws(() => db`select ${[1]}`, /\$1 is an array/);
  world.restore();
});

test("after what Pelton refuses the transaction stands", () => {
  const world = effects();
  const db = sql("shop");
  for (const code of ["refused", "too-large", "unknown-database"]) {
    world.sql(code, new EffectError(code));
    assert.throws(() => db.query(code), { code });
  }
  world.sql("select 1", { rows: [{ one: 1 }] });
  assert.deepEqual([...db.query("select 1")], [{ one: 1 }]);
  world.restore();
});

test("values cross as what the database has", () => {
  const asked = [];
  const value = (tag, val) => ({ tag, val });
  const query = (database, text, parameters) => {
    asked.push(database, text, parameters);
    const columns = ["a", "b", "c"].map((name) => ({ name, typeName: "t" }));
    return { columns, rows: [[{ tag: "null" }, value("integer", 2n ** 60n), value("integer", 5n)]], affected: 1n };
  };
  const failed = (payload) => () => { throw Object.assign(new Error(), { payload }); };
  const said = { code: "23505", message: "there already", detail: "Key (id)=(7)", constraint: "orders_pkey" };
  const saved = globalThis.fetch;
  connect({ sql: { query, execute: failed(value("database", said)), stage: failed(value("too-large", 10n)) } });
  const db = sql("shop");
  assert.deepEqual([...db`select ${1}, ${0.5}, ${2n ** 64n}, ${null}, ${true}`], [{ a: null, b: 2n ** 60n, c: 5 }]);
  const sent = [value("integer", 1n), value("float", 0.5), value("text", String(2n ** 64n)), { tag: "null" }, value("boolean", true)];
  assert.deepEqual(asked, ["shop", "select $1, $2, $3, $4, $5", sent]);
  assert.throws(() => db.execute`x`, { code: "23505", constraint: "orders_pkey", detail: "Key (id)=(7)" });
  assert.throws(() => db.stage`x`, { code: "too-large", message: /more than 10 rows/ });
  globalThis.fetch = saved;
});
