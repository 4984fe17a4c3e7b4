// Write a Pelton message handler in JavaScript or TypeScript. What is exported here, and what it means, is
// said in index.d.ts. It imports nothing of the runtime, so handlers are tested like any function.

export { EffectError, config, outbox, state } from "./effects.js";
export { sql } from "./sql.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

const bytes = (value) => (typeof value === "string" ? encoder.encode(value) : value);

export class Retry extends Error {
  name = "Retry";

  constructor(reason = "", { afterMs, cause } = {}) {
    super(reason, cause === undefined ? undefined : { cause });
    if (afterMs !== undefined && !(afterMs >= 0 && afterMs < Infinity)) {
      throw new RangeError(`afterMs must be a number of milliseconds from 0 on, not ${afterMs}`);
    }
    this.afterMs = afterMs;
  }
}

export class Reject extends Error {
  name = "Reject";
}

export class Message {
  constructor(parts = {}) {
    const { body = "", key, headers = [], id = "test-1", ...rest } = parts;
    this.body = bytes(body);
    this.id = id;
    this.key = bytes(key);
    const pairs = Array.isArray(headers)
      ? headers
      : Object.entries(headers).map(([name, value]) => ({ name, value }));
    this.headers = pairs.map(({ name, value }) => ({ name, value: bytes(value) }));
    this.attempt = 1;
    this.idempotencyKey = id;
    this.pipeline = "test";
    this.origin = "test";
    this.publishedAtMs = undefined;
    this.replayed = false;
    this.tombstone = false;
    Object.assign(this, rest);
  }

  json() {
    if (this.body.length === 0) throw new Reject("the body is empty, JSON was expected");
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Reject(`the body is not valid JSON: ${error.message}`);
    }
  }

  text() {
    try {
      return decoder.decode(this.body);
    } catch {
      throw new Reject("the body is not UTF-8 text");
    }
  }

  header(name) {
    const value = this.headerBytes(name);
    try {
      return value && decoder.decode(value);
    } catch {
      return undefined;
    }
  }

  get traceparent() {
    const found = this.headers.filter(({ name }) => name.toLowerCase() === "traceparent").at(-1);
    try {
      return found && decoder.decode(found.value);
    } catch {
      return undefined;
    }
  }

  headerBytes(name) {
    return this.headers.find((header) => header.name === name)?.value;
  }
}
