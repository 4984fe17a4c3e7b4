// The way between effects.js and the interfaces of the host. Bundled into a component only.

import { EffectError, fetchFor, install } from "./effects.js";
import { rows } from "./sql.js";

const BIGGEST = 2n ** 64n - 1n;

// `given` has the interfaces that the component was built with: outbox, config, store, atomics, sql; and `http`.
export function connect({ outbox, config, store, atomics, sql, http }) {
  const doers = {};
  if (config) doers.config = configuration(config);
  if (store) doers.state = state(store, atomics);
  if (outbox) doers.outbox = messages(outbox);
  if (sql) doers.sql = databases(sql);
  const missing = (effect) =>
    `this component was built without it: add \`uses = ["${effect}"]\` to handler.toml, and build it again`;
  install(doers, missing);
  globalThis.fetch = http
    ? fetchFor(bounded(globalThis.fetch))
    : async () => {
        throw new EffectError("unavailable", `fetch: ${missing("http")}`);
      };
}

// The engine's own `fetch` takes no end of a signal, and waits on: so nobody waits for it any more. What is left of it
// ends with the message.
const bounded = (fetch) => async (input, init) => {
  const { signal, timeoutMs, ...rest } = init ?? {};
  if (signal?.aborted) throw signal.reason ?? new EffectError("aborted");
  let timer;
  const ended = new Promise((_, fail) => {
    signal?.addEventListener("abort", () => fail(signal.reason ?? new EffectError("aborted")));
    if (timeoutMs === undefined) return;
    timer = setTimeout(() => fail(new EffectError("HTTP-response-timeout", `no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([fetch(input, rest), ended]);
  } finally {
    clearTimeout(timer);
  }
};

// What an interface answers, or the error that `said` makes of what it throws.
function asked(ask, said) {
  try {
    return ask();
  } catch (error) {
    if (error?.payload === undefined) throw error;
    throw said(error.payload);
  }
}

const configuration = (config) => {
  const unavailable = ({ val }) => new EffectError("unavailable", val);
  return {
    get: (name) => asked(() => config.get(name), unavailable) ?? undefined,
    all: () => asked(() => config.getAll(), unavailable),
  };
};

const state = (store, atomics) => {
  const within = (name, act) =>
    asked(
      () => {
        const bucket = store.open(name);
        try {
          return act(bucket);
        } finally {
          bucket[Symbol.dispose || Symbol.for("dispose")]?.();
        }
      },
      ({ tag, val }) =>
        tag === "other"
          ? new EffectError("refused", val)
          : new EffectError("not-granted", `the pipeline grants no store \`${name}\`: add it to its grants.state`),
    );
  return {
    get: (name, key) => within(name, (bucket) => bucket.get(key)) ?? undefined,
    set: (name, key, value) => within(name, (bucket) => bucket.set(key, value)),
    delete: (name, key) => within(name, (bucket) => bucket.delete(key)),
    increment: (name, key, by) => within(name, (bucket) => atomics.increment(bucket, key, by)),
    list: (name) =>
      within(name, (bucket) => {
        const keys = [];
        let cursor;
        do {
          const page = bucket.listKeys(cursor);
          keys.push(...page.keys);
          cursor = page.cursor ?? undefined;
        } while (cursor !== undefined);
        return keys;
      }),
  };
};

const messages = (outbox) => ({
  send({ target, delayMs, ...message }) {
    const wait = delayMs === undefined ? undefined : BigInt(delayMs);
    const outgoing = { ...message, delayMs: wait !== undefined && wait > BIGGEST ? BIGGEST : wait };
    return asked(() => outbox.send(target, outgoing), ({ tag, val }) => new EffectError(tag, val));
  },
});

const databases = (sql) => {
  const ask = (what) => ({ database, text, parameters }) =>
    asked(() => sql[what](database, text, parameters.map(toWire)), sqlFailed);
  const query = ask("query");
  return {
    query(statement) {
      const given = query(statement);
      const columns = given.columns.map(({ name, typeName }) => ({ name, type: typeName }));
      return rows(columns, given.rows.map((row) => row.map(fromWire)), Number(given.affected));
    },
    execute: (statement) => Number(ask("execute")(statement)),
    stage: (statement) => void ask("stage")(statement),
  };
};

function sqlFailed({ tag, val }) {
  if (tag === "database") {
    const { code, message, detail, constraint } = val;
    return new EffectError(code, message, { detail: detail ?? undefined, constraint: constraint ?? undefined });
  }
  if (tag === "too-large") return new EffectError(tag, `the result has more than ${val} rows or bytes: ask for less`);
  return new EffectError(tag, val);
}

// What 64 bits with a sign do not hold is its digits, which bind to a numeric.
const whole = (given) =>
  BigInt.asIntN(64, given) === given ? { tag: "integer", val: given } : { tag: "text", val: String(given) };

function toWire(given) {
  if (given === null) return { tag: "null" };
  if (typeof given === "boolean") return { tag: "boolean", val: given };
  if (typeof given === "string") return { tag: "text", val: given };
  if (typeof given === "bigint") return whole(given);
  if (typeof given !== "number") return { tag: "bytes", val: given };
  return Number.isSafeInteger(given) ? { tag: "integer", val: BigInt(given) } : { tag: "float", val: given };
}

function fromWire({ tag, val }) {
  if (tag === "null") return null;
  if (tag !== "integer") return val;
  // A number where one holds it.
  return Number.isSafeInteger(Number(val)) ? Number(val) : val;
}
