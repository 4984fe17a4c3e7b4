// What a handler may do beside its answer. What is exported here, and what it means, is said in index.d.ts. Who
// does it: the host in a component (wire.js), in a test what testing.js puts here.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const bytes = (value) => (typeof value === "string" ? encoder.encode(value) : value);

export class EffectError extends Error {
  name = "EffectError";

  constructor(code, text = "", { constraint, detail } = {}) {
    super(text ? `${text} (${code})` : code);
    this.code = code;
    if (constraint !== undefined) this.constraint = constraint;
    if (detail !== undefined) this.detail = detail;
  }
}

// By the words of `uses` in handler.toml.
const doers = {};
let without = () => "there is no Pelton here: begin the test with `effects()` of \"pelton/testing\"";

// Puts others in their place; what they say of an effect that is missing, in words.
export function install(given, missing = without) {
  for (const word of Object.keys(doers)) delete doers[word];
  Object.assign(doers, given);
  without = missing;
}

export function doer(effect) {
  const found = doers[effect];
  if (!found) throw new EffectError("unavailable", `${effect}: ${without(effect)}`);
  return found;
}

export const config = {
  get: (name) => doer("config").get(name),
  require(name) {
    const value = config.get(name);
    if (value !== undefined) return value;
    throw new EffectError("not-granted", `there is no configuration \`${name}\`: add it to the pipeline's grants.config`);
  },
  all: () => Object.fromEntries(doer("config").all()),
};

class Store {
  #name;

  constructor(name) {
    this.#name = name;
  }

  get(key) {
    return doer("state").get(this.#name, key);
  }

  getText(key) {
    const value = this.get(key);
    return value && decoder.decode(value);
  }

  getJson(key) {
    const text = this.getText(key);
    try {
      return text === undefined ? undefined : JSON.parse(text);
    } catch (error) {
      throw new EffectError("value", `what is at \`${key}\` is not valid JSON: ${error.message}`);
    }
  }

  set(key, value) {
    doer("state").set(this.#name, key, bytes(value));
  }

  setJson(key, value) {
    this.set(key, JSON.stringify(value));
  }

  delete(key) {
    doer("state").delete(this.#name, key);
  }

  increment(key, by = 1) {
    const total = Number(doer("state").increment(this.#name, key, BigInt(by)));
    if (Number.isSafeInteger(total)) return total;
    throw new EffectError("value", `what is at \`${key}\` is more than a number holds`);
  }

  // Nobody writes between reading and writing: the commit finds out, and the message runs again.
  compareAndSet(key, expected, value) {
    const [is, wanted] = [this.get(key), expected === null ? undefined : bytes(expected)];
    const same = is === undefined || wanted === undefined ? is === wanted : equal(is, wanted);
    if (same) this.set(key, value);
    return same;
  }

  list() {
    return doer("state").list(this.#name);
  }
}

const equal = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

// The store `default`, and the way to the others.
export const state = new Store("default");
state.store = (name) => new Store(name);

export const outbox = {
  send(target, body, { key, headers = [], delayMs, topic } = {}) {
    if (delayMs !== undefined && !(delayMs >= 0 && delayMs < Infinity)) {
      throw new RangeError(`delayMs must be a number of milliseconds from 0 on, not ${delayMs}`);
    }
    const pairs = Array.isArray(headers)
      ? headers
      : Object.entries(headers).map(([name, value]) => ({ name, value }));
    return doer("outbox").send({
      target,
      body: bytes(body),
      key: bytes(key),
      headers: pairs.map(({ name, value }) => ({ name, value: bytes(value) })),
      delayMs: delayMs === undefined ? undefined : Math.ceil(delayMs),
      topic,
    });
  },
};

// The name of the header by which the host is told which message a request belongs to. It takes it out.
const MESSAGE = "pelton-message";

// `fetch` that knows of `message`.
export const fetchFor = (fetch) => (input, init) => {
  if (init?.message === undefined) return fetch(input, init);
  const { message, ...rest } = init;
  const headers = new Headers(rest.headers ?? (typeof input === "object" && input.headers ? input.headers : undefined));
  headers.set(MESSAGE, message.idempotencyKey);
  return fetch(input, { ...rest, headers });
};
