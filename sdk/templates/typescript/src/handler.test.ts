// The handler is a plain function: these run without Pelton, with `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Message, Reject, Retry } from "pelton";
import handle from "./handler.ts";

const order = (parts: object = {}, attempt = 1) =>
  new Message({ body: JSON.stringify({ id: 7, amount_cents: 1250, ...parts }), attempt });

test("an order is taken", async () => {
  await handle(order());
});

test("a negative amount is rejected", async () => {
  await assert.rejects(handle(order({ amount_cents: -1 })), Reject);
});

test("the gateway is waited for", async () => {
  const down = { gateway_down: true };
  await assert.rejects(handle(order(down)), (error: unknown) => error instanceof Retry && error.afterMs === 50);
  await handle(order(down, 3));
});
