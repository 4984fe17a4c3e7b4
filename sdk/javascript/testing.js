// Effects in a handler's own tests. What is exported here, and what it means, is said in testing.d.ts.

import { EffectError, fetchFor, install } from "./effects.js";

const encoder = new TextEncoder();
const bytes = (value) => (typeof value === "string" ? encoder.encode(value) : value);
const native = globalThis.fetch;

class Effects {
  requests = [];
  sent = [];
  stores = { default: new Map() };
  #answers = [];

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
    });
    globalThis.fetch = fetchFor((input, init) => this.#fetched(input, init));
  }

  get state() {
    return this.stores.default;
  }

  http(method, url, answer = {}) {
    this.#answers.push({ method, url, answer });
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

function increment(store, key, by) {
  const is = new TextDecoder().decode(store.get(key) ?? bytes("0"));
  if (!/^[+-]?\d+$/.test(is)) throw new EffectError("refused", `what is at \`${key}\` is no number to add to`);
  const total = BigInt(is) + by;
  store.set(key, bytes(String(total)));
  return total;
}

export const effects = (given = {}) => new Effects(given);
