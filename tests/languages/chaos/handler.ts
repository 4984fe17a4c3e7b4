// Does what the header `do` of its messages says, good or bad.

import { type Message, Reject, Retry } from "pelton";

export default async function handle(message: Message): Promise<void> {
  switch (message.header("do")) {
    case "retry":
      throw new Retry(`asked to retry at attempt ${message.attempt}`, { afterMs: 250 });
    case "reject":
      throw new Reject("asked to reject");
    case "uncaught":
      throw new RangeError("a plain error");
    case "loop":
      for (;;) {}
    case "sleep":
      await new Promise((done) => setTimeout(done, 3_600_000));
      return;
    case "memory":
      return grow();
    case "deep":
      console.log(deep(1));
      return;
    case "flood":
      for (let line = 0; line < 2000; line++) console.log("flood ".repeat(20));
      return;
    case "print":
      console.log("printed");
      return;
    case "files":
      console.log("denied:", typeof (globalThis as any).process === "undefined" && typeof (globalThis as any).require === "undefined");
      return;
    case "echo":
      echo(message);
  }
}

function grow(): never {
  const taken: Uint8Array[] = [];
  for (;;) taken.push(new Uint8Array(1 << 20).fill(1));
}

function deep(depth: number): number {
  return deep(depth + 1) + depth;
}

function echo(message: Message): void {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  for (const header of message.headers) console.log(`header ${header.name}=${text(header.value)}`);
  const key = message.key === undefined ? "none" : `"${text(message.key)}"`;
  let rest = 0;
  for (const byte of message.body) rest = (rest * 256 + byte) % 4294967291;
  console.log(`id ${message.id}, key ${key}, attempt ${message.attempt}, body ${message.body.length} ${rest}`);
}
