// Effects in a handler's own tests. What is exported here, and what it means, is said in testing.d.ts.

import { EffectError, fetchFor, install } from "./effects.js";
import { rows } from "./sql.js";

const encoder = new TextEncoder();
const bytes = (value) => (typeof value === "string" ? encoder.encode(value) : value);
const native = globalThis.fetch;

// After a statement with one of these codes the transaction stands.
const STANDS = ["refused", "too-large", "unknown-database"];

class Effects {
  requests = [];
  sent = [];
  stores = { default: new Map() };
  statements = [];
  staged = [];
  #answers = [];
  #replies = [];
  #isOver = false;

  constructor({ config = {}, state = {} }) {
    for (const [key, value] of Object.entries(state)) this.state.set(key, bytes(value));
    const store = (name) => (this.stores[name] ??= new Map());
    install({
      config: { get: (name) => config[name], all: () => Object.entries(config) },
      state: {
        get: (name, key) => store(name).get(key),
        set: (name, key, value) => void store(name).set(key, value),
        delete: (name, key) => void store(name).delete(key),
        increment: (name, key, by) => increment(store(name), key, by),
        list: (name) => [...store(name).keys()].sort(),
      },
      outbox: { send: (message) => `test-${this.sent.push(message)}` },
      sql: {
        query: (statement) => this.#queried(statement),
        execute: (statement) => this.#queried(statement).affected,
        stage: (statement) => void this.staged.push(statement),
      },
    });
    globalThis.fetch = fetchFor((input, init) => this.#fetched(input, init));
  }

  get state() {
    return this.stores.default;
  }

  http(method, url, answer = {}) {
    this.#answers.push({ method, url, answer });
  }

  sql(statement, reply = {}) {
    this.#replies.push({ part: words(statement), reply });
  }

  #queried(statement) {
    this.statements.push(statement);
    if (this.#isOver) throw new EffectError("25P02", "a statement has failed before: the transaction is over");
    const text = words(statement.text);
    const at = this.#replies.findIndex(({ part }) => text.includes(part));
    if (at < 0) throw new EffectError("refused", `the test has no answer for \`${text}\``);
    const [{ reply }] = this.#replies.splice(at, 1);
    if (reply instanceof Error) {
      this.#isOver = !STANDS.includes(reply.code);
      throw reply;
    }
    const { rows: given = [], affected = given.length } = reply;
    const columns = Object.keys(given[0] ?? {}).map((name) => ({ name, type: "test" }));
    return rows(columns, given.map((row) => columns.map(({ name }) => row[name])), affected);
  }

  restore() {
    install({});
    globalThis.fetch = native;
  }

  async #fetched(input, init) {
    const request = new Request(input, init?.body ? { duplex: "half", ...init } : init);
    const { method, headers } = request;
    const url = typeof input === "string" ? input : (input.url ?? String(input));
    const body = new Uint8Array(await request.arrayBuffer());
    this.requests.push({ method, url, headers, body, json: () => JSON.parse(new TextDecoder().decode(body)) });
    const at = this.#answers.findIndex((one) => one.method === method && one.url === url);
    if (at < 0) throw new TypeError(`the test has no answer for ${method} ${url}`);
    const [{ answer }] = this.#answers.splice(at, 1);
    if (answer instanceof Error) throw answer;
    if (answer instanceof Response) return answer;
    const { status = 200, headers: given = {}, json, body: text = null } = answer;
    const content = json === undefined ? text : JSON.stringify(json);
    return new Response(content, { status, headers: given });
  }
}

// A statement with one space wherever it has some.
const words = (statement) => statement.trim().split(/\s+/).join(" ");

function increment(store, key, by) {
  const is = new TextDecoder().decode(store.get(key) ?? bytes("0"));
  if (!/^[+-]?\d+$/.test(is)) throw new EffectError("refused", `what is at \`${key}\` is no number to add to`);
  const total = BigInt(is) + by;
  store.set(key, bytes(String(total)));
  return total;
}

export const effects = (given = {}) => new Effects(given);
