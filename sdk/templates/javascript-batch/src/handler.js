// Stores orders, many at a time: one write for all of them, instead of one for each.

import { Reject, Retry } from "pelton";

/** @param {import("pelton").Message[]} messages */
export default async function handle(messages) {
  const orders = [];
  const results = messages.map((message) => {
    try {
      orders.push(check(message));
      return undefined;
    } catch (error) {
      if (error instanceof Reject || error instanceof Retry) return error; // this message alone
      throw error;
    }
  });
  await store(orders);
  return results;
}

function check(message) {
  const order = message.json();
  if (order.amount_cents < 0) {
    throw new Reject(`order ${order.id}: the amount is negative`);
  }
  return order;
}

// Stands in for a bulk insert.
async function store(orders) {
  console.log(`stored ${orders.length} orders`);
}
