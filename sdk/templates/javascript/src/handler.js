// Takes orders: JSON in, checked, then charged at a payment gateway.

import { Reject, Retry } from "pelton";

/** @param {import("pelton").Message} message */
export default async function handle(message) {
  const order = message.json(); // not JSON: rejected, a dead letter
  if (order.amount_cents < 0) {
    throw new Reject(`order ${order.id}: the amount is negative`);
  }
  await charge(order, message);
  console.log(`order ${order.id} taken`); // a log line of this message
}

// Stands in for `fetch`, which `uses = ["http"]` in handler.toml gives. Pelton adds an idempotency key to a POST, so that
// no charge is taken twice; "pelton/testing" answers it in tests.
async function charge(order, message) {
  if (order.gateway_down && message.attempt < 3) {
    throw new Retry(`order ${order.id}: the payment gateway is down`, { afterMs: 50 });
  }
}
