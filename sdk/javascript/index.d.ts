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
