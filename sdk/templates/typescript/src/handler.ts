// Takes orders: JSON in, checked, then charged at a payment gateway.

import { type Message, Reject, Retry } from "pelton";

interface Order {
  id: number;
  amount_cents: number;
  gateway_down?: boolean;
}

export default async function handle(message: Message): Promise<void> {
  const order = message.json<Order>(); // not JSON: rejected, a dead letter
  if (order.amount_cents < 0) {
    throw new Reject(`order ${order.id}: the amount is negative`);
  }
  await charge(order, message);
  console.log(`order ${order.id} taken`); // a log line of this message
}

// Stands in for `fetch`, which `uses = ["http"]` in handler.toml gives. Pelton adds an idempotency key to a POST, so that
// no charge is taken twice; "pelton/testing" answers it in tests.
async function charge(order: Order, message: Message): Promise<void> {
  if (order.gateway_down && message.attempt < 3) {
    throw new Retry(`order ${order.id}: the payment gateway is down`, { afterMs: 50 });
  }
}
