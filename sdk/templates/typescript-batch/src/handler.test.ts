// The handler is a plain function: these run without Pelton, with `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Message, Reject } from "pelton";
import handle from "./handler.ts";

test("a bad order is rejected alone", async () => {
  const good = new Message({ body: '{"id": 1, "amount_cents": 100}' });
  const bad = new Message({ body: '{"id": 2, "amount_cents": -1}' });
  const [first, second, third] = await handle([good, bad, good]);
  assert.equal(first, undefined);
  assert.ok(second instanceof Reject);
  assert.equal(third, undefined);
});
