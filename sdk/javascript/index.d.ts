/** One header, as the producer wrote it. Names may repeat and values may be any bytes. */
export interface Header {
  name: string;
  value: Uint8Array;
}

/** What a message for a test is made of; what is left out has a made-up value. */
export interface MessageParts extends Partial<Omit<Message, "body" | "key" | "headers" | "json" | "text" | "header" | "headerBytes">> {
  body?: string | Uint8Array;
  key?: string | Uint8Array;
  headers?: Record<string, string | Uint8Array> | { name: string; value: string | Uint8Array }[];
}

/** One receipt of one message. In a test: `new Message({ body: '{"id":7}', attempt: 2 })`. */
export declare class Message {
  constructor(parts?: MessageParts);
  /** The broker's own identity of the message; the same on every redelivery. */
  id: string;
  /** The pipeline that delivers it, as named in the configuration. */
  pipeline: string;
  /** Where it was published: topic, queue, stream or list. */
  origin: string;
  /** The same on every attempt, redelivery and replay. Hand it to the services you call. */
  idempotencyKey: string;
  /** The ordering key, if the broker has one. */
  key: Uint8Array | undefined;
  /** In the producer's order. See `header` for the first of a name. */
  headers: Header[];
  /** The bytes that were published. */
  body: Uint8Array;
  /** How often a handler has been started on this message, this time included. Starts at 1. */
  attempt: number;
  /** When it was published, in milliseconds since the Unix epoch, if the broker says so. */
  publishedAtMs: number | undefined;
  /** True when an operator replays it. */
  replayed: boolean;
  /** True when the broker has no value at all for it (a Kafka record whose value is null). */
  tombstone: boolean;

  /** The body as JSON. Throws `Reject` when it is none: it would be none next time too. */
  json<T = any>(): T;
  /** The body as text. Throws `Reject` when it is not UTF-8. */
  text(): string;
  /** The first header of this name, if its value is text. Upper and lower case differ, as for brokers. */
  header(name: string): string | undefined;
  /**
   * Where the message stands in a trace, as W3C writes it: `00-TRACE-SPAN-FLAGS`. Where traces are recorded that is
   * the span that this handler runs in. HTTP requests and messages of the outbox have it already.
   */
  readonly traceparent: string | undefined;
  /** The value of the first header of this name. All of them are in `headers`. */
  headerBytes(name: string): Uint8Array | undefined;
}

/**
 * Worth another try: something the handler depends on is down. Waits at least `afterMs` milliseconds; without it,
 * and where its own wait is longer, the pipeline's retry policy decides.
 */
export declare class Retry extends Error {
  constructor(reason?: string, options?: { afterMs?: number; cause?: unknown });
  afterMs: number | undefined;
}

/** Will never succeed: malformed, or refers to what does not exist. A dead letter at once. */
export declare class Reject extends Error {}

/**
 * Handles one message: `export default` it from src/handler. Returning settles the message; `Retry` and `Reject`
 * say otherwise, and any other error is a retry with its stack.
 */
export type Handler = (message: Message) => void | Promise<void>;

/**
 * Handles many messages: `export default` it, with `batch = true` in handler.toml. It returns one result for each message, in order:
 * nothing, or a `Retry` or `Reject` (not thrown). Returning nothing at all says that all are done. When it throws,
 * each message is given to it again, alone.
 */
export type BatchHandler = (
  messages: Message[],
) => (Error | undefined | null)[] | void | Promise<(Error | undefined | null)[] | void>;

declare global {
  interface RequestInit {
    /**
     * The message that a request is sent for, in a batch handler: the idempotency key that the host adds is then the
     * one that the message would have alone. Without it a request of a batch has none.
     */
    message?: Message;
    /** How long the answer may take to begin. The pipeline's own limits hold besides. */
    timeoutMs?: number;
  }
}

/**
 * Why an effect did not happen; not caught it is a retry. `code` is one of `not-granted`, `unknown-target`,
 * `unknown-database`, `refused`, `limit`, `too-large`, `unavailable` and `value`; for SQL the database's own, as `23505`,
 * with the constraint that does not hold, if it is one; `HTTP-response-timeout` where `timeoutMs` is over. Else `fetch`
 * fails with a `TypeError`, as everywhere, and the reason is in the log.
 */
export declare class EffectError extends Error {
  constructor(code: string, text?: string, of?: { constraint?: string; detail?: string });
  code: string;
  /** Of SQL: the constraint that does not hold. */
  constraint?: string;
  /** Of SQL: what the database says besides. */
  detail?: string;
}

/** Configuration and secrets: what the pipeline grants by name. In handler.toml: `uses = ["config"]`. */
export declare const config: {
  /** The value of this name, if the pipeline grants one. */
  get(name: string): string | undefined;
  /** The value of this name. Throws `EffectError` where there is none. */
  require(name: string): string;
  /** All names and values that the pipeline grants. */
  all(): Record<string, string>;
};

/** A store of key-value state. Keys are text, values are bytes. */
export interface Store {
  /** The value of a key, if there is one. Sees what this message has written. */
  get(key: string): Uint8Array | undefined;
  /** The same as text. */
  getText(key: string): string | undefined;
  /** The same from JSON. */
  getJson<T = any>(key: string): T | undefined;
  /** Gives a key a value. */
  set(key: string, value: string | Uint8Array): void;
  /** Gives a key a value, as JSON. */
  setJson(key: string, value: unknown): void;
  /** Removes a key. It need not be there. */
  delete(key: string): void;
  /** Adds to a number (1 when not said), 0 where there is none; what it is then. The value is its decimal text. */
  increment(key: string, by?: number): number;
  /** Gives a key a value if it has the one that is expected, `undefined` being no value; whether it had. */
  compareAndSet(key: string, expected: string | Uint8Array | null | undefined, value: string | Uint8Array): boolean;
  /** All keys, in no order that is promised. */
  list(): string[];
}

/**
 * Key-value state: the store `default`, and `state.store("totals")` for another. In handler.toml: `uses = ["state"]`.
 * What is written commits with the message, and on anything but a return it never was. Messages that run side by side
 * and touch the same keys have the effect of some order, one after the other: read, decide and write as if alone. Only
 * lists of keys are not held to that.
 */
export declare const state: Store & { store(name: string): Store };

/** A message that is sent. Tests look at it. */
export interface Outgoing {
  target: string;
  body: Uint8Array;
  key: Uint8Array | undefined;
  headers: Header[];
  delayMs: number | undefined;
  topic: string | undefined;
}

/** Messages that a handler sends. In handler.toml: `uses = ["outbox"]`. */
export declare const outbox: {
  /**
   * Sends a message to a target, by the name that the pipeline's configuration gives it. It commits with the message
   * at hand, and goes out after that; on anything but a return it never was. The id that it will have: the same each
   * time the message at hand is handled. Messages of one `key` keep their order. Throws `EffectError`: there is no
   * such target, it cannot carry the message, or this message has sent as much as one may.
   */
  send(
    target: string,
    body: string | Uint8Array,
    options?: {
      key?: string | Uint8Array;
      headers?: Record<string, string | Uint8Array> | { name: string; value: string | Uint8Array }[];
      /** Deliver it no sooner than this many milliseconds after the commit. */
      delayMs?: number;
      /** The topic or queue, for a target that leaves it to the handler. */
      topic?: string;
    },
  ): string;
};

/**
 * What a parameter can be. A `Date` is sent as text; text binds to any type, in the database's own form: `"12.50"` to a
 * numeric, `"{a,b}"` to an array.
 */
export type SqlParameter = null | undefined | boolean | number | bigint | string | Uint8Array | Date;

/**
 * A value of a row. Whole numbers are a `number` where it holds them exactly, else a `bigint`. What is of no other type
 * is text in the database's own form: a numeric is `"12.50"`, so that no digit is lost.
 */
export type SqlValue = null | boolean | number | bigint | string | Uint8Array;

/** A row: its values by the names of the columns. */
export type SqlRow = Record<string, SqlValue>;

/** The rows of a query, in their order. */
export type SqlRows<Row = any> = Row[] & {
  /** The columns, with their types as the database calls them. */
  readonly columns: { name: string; type: string }[];
  /** How many rows the statement changed, or gave. */
  readonly affected: number;
};

/** A statement with its parameters. Tests look at it. */
export interface Statement {
  database: string;
  text: string;
  parameters: SqlValue[];
}

/** Runs a statement: a template, whose values become parameters and never text, or a text with `$1` and its values. */
export interface RunsSql<Result> {
  (template: TemplateStringsArray, ...parameters: SqlParameter[]): Result;
  (statement: string, ...parameters: SqlParameter[]): Result;
}

/** A database of the pipeline's. */
export interface Database {
  <Row = any>(template: TemplateStringsArray, ...parameters: SqlParameter[]): SqlRows<Row>;
  <Row = any>(statement: string, ...parameters: SqlParameter[]): SqlRows<Row>;
  /** The same by another name: for a statement that is a text. */
  query: {
    <Row = any>(template: TemplateStringsArray, ...parameters: SqlParameter[]): SqlRows<Row>;
    <Row = any>(statement: string, ...parameters: SqlParameter[]): SqlRows<Row>;
  };
  /** Runs a statement, and gives how many rows it changed. */
  execute: RunsSql<number>;
  /**
   * Sends a statement and does not wait for what it gives: it costs no round trip. If it fails, the message fails with it
   * when it is to be committed. For statements whose result does not matter.
   */
  stage: RunsSql<void>;
}

/**
 * SQL in the transaction that completes the message. In handler.toml: `uses = ["sql"]`.
 *
 *     const db = sql("shop");
 *     const [item] = db`select item, stock from items where id = ${id}`;
 *     const changed = db.execute`update items set stock = stock - ${count} where id = ${id}`;
 *     db.stage`insert into log (item, note) values (${id}, ${"sold"})`;
 *
 * The transaction begins with the first statement and is Pelton's: it commits when the handler returns, together with the
 * record that says that the message was processed. When the handler throws, nothing of it was ever done. When a statement
 * fails, `EffectError` says why, and the transaction is over: returning would be a retry.
 */
export declare function sql(database: string): Database;
