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

// Stands in for a call to a gateway. Hand it `message.idempotencyKey`, so that no charge is taken twice.
async function charge(order, message) {
  if (order.gateway_down && message.attempt < 3) {
    throw new Retry(`order ${order.id}: the payment gateway is down`, { afterMs: 50 });
  }
}
