import type { EffectError, Outgoing, SqlRow, Statement } from "pelton";

/** A request that a handler has sent, in a test. */
export interface SentRequest {
  method: string;
  url: string;
  headers: Headers;
  body: Uint8Array;
  /** The body as JSON. */
  json<T = any>(): T;
}

/** What a request in a test is answered with. */
export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** Instead of `body`. */
  json?: unknown;
}

/** What a test gives its handler, and afterwards what the handler did. */
export interface Effects {
  /** Answers one request of this method and URL, or has it fail; several for the same are used in their order. */
  http(method: string, url: string, answer?: Answer | Response | Error): void;
  /**
   * Answers one statement that has this text in it, whatever the spaces, or has it fail:
   * `new EffectError("23514", "...", { constraint: "stock_not_negative" })`. Several for the same are used in their order.
   */
  sql(statement: string, reply?: { rows?: SqlRow[]; affected?: number } | EffectError): void;
  /** The statements that were run for a result, in their order. */
  statements: Statement[];
  /** The statements that were staged, in their order. */
  staged: Statement[];
  /** The requests that were sent, in their order. */
  requests: SentRequest[];
  /** The messages that were sent, in their order. */
  sent: Outgoing[];
  /** What the store `default` has. */
  readonly state: Map<string, Uint8Array>;
  /** What each store has. */
  stores: Record<string, Map<string, Uint8Array>>;
  /** Takes it all away again, and gives `fetch` back. */
  restore(): void;
}

/**
 * From here on handlers have these effects, `fetch` among them:
 *
 *     const world = effects({ config: { region: "eu" } });
 *     world.http("POST", "https://api.example/charges", { status: 201 });
 *     await handle(new Message({ body: '{"id":7}' }));
 *     assert.deepEqual(world.requests[0].json(), { id: 7 });
 *
 * `state` is what the store `default` has at first.
 */
export declare function effects(given?: {
  config?: Record<string, string>;
  state?: Record<string, string | Uint8Array>;
}): Effects;
