// ENDPOINT QUEUE_URL COUNT: reads so many messages, ten at a time, and deletes them in batches, as sqs-consumer does it.
// Prints the seconds from the first message in hand to the last one deleted, then the number of each message.
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const [endpoint, queueUrl, count] = process.argv.slice(1);
const numbers = [];
let began;
const number = ({ Body: body }) => Number(body.slice(2, body.indexOf(",")));
const fail = (error) => {
  console.error(String(error));
  process.exit(1);
};
const consumer = Consumer.create({
  queueUrl,
  sqs: new SQSClient({ endpoint, region: "us-east-1", useQueueUrlAsEndpoint: false }),
  batchSize: 10,
  waitTimeSeconds: 1,
  handleMessageBatch: async (messages) => {
    began ??= performance.now();
    numbers.push(...messages.map(number));
    return messages;
  },
});
consumer.on("error", fail);
consumer.on("processing_error", fail);
// After its batch was deleted.
consumer.on("response_processed", () => {
  if (numbers.length < Number(count)) return;
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(`${seconds}\n${numbers.join("\n")}\n`, () => process.exit(0));
});
consumer.start();
