// Stores orders, many at a time: one write for all of them, instead of one for each.

import { type Message, Reject, Retry } from "pelton";

interface Order {
  id: number;
  amount_cents: number;
}

export default async function handle(messages: Message[]): Promise<(Error | undefined)[]> {
  const orders: Order[] = [];
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

function check(message: Message): Order {
  const order = message.json<Order>();
  if (order.amount_cents < 0) {
    throw new Reject(`order ${order.id}: the amount is negative`);
  }
  return order;
}

// Stands in for a bulk insert.
async function store(orders: Order[]): Promise<void> {
  console.log(`stored ${orders.length} orders`);
}
