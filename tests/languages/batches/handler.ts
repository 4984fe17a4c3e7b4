// Requests of a batch, each for its message, as the test of batches wants it.

import { type Message, Retry } from "pelton";

interface Order {
  url: string;
  named: boolean;
}

export default async function handle(messages: Message[]): Promise<(Error | undefined)[]> {
  console.log(`a call of ${messages.length}`);
  const results: (Error | undefined)[] = [];
  for (const message of messages) results.push(await sent(message));
  return results;
}

async function sent(message: Message): Promise<Error | undefined> {
  const { url, named } = message.json<Order>();
  const init: RequestInit = { method: "POST", body: message.text() };
  if (named) init.message = message;
  const answer = await fetch(url, init);
  await answer.text();
  return answer.status === 200 ? undefined : new Retry(String(answer.status));
}
