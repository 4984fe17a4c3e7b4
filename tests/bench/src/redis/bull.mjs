// HOST:PORT FIRST COUNT SIZE: adds so many jobs of so many bytes, and works them off, fifty at once. Prints the
// seconds from the first job in hand to the last one completed, then the number of each job.
import { Queue, Worker } from "bullmq";

const [address, ...counts] = process.argv.slice(1);
const [first, count, size] = counts.map(Number);
const [host, port] = address.split(":");
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection });
const options = { removeOnComplete: true };
const job = (number) => ({ name: "order", data: { number, text: "x".repeat(size - 30) }, opts: options });
for (let at = first; at < first + count; at += 1000) {
  const some = Array.from({ length: Math.min(1000, first + count - at) }, (_, n) => job(at + n));
  await queue.addBulk(some);
}
const numbers = [];
let began;
let done = 0;
const worker = new Worker(
  "bench",
  async ({ data }) => {
    began ??= performance.now();
    numbers.push(data.number);
  },
  { connection, concurrency: 50 },
);
worker.on("error", (error) => {
  console.error(String(error));
  process.exit(1);
});
worker.on("completed", () => {
  done += 1;
  if (done < count) return;
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(`${seconds}\n${numbers.join("\n")}\n`, () => process.exit(0));
});
