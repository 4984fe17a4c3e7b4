"""consume.py BROKER TOPIC GROUP COUNT: reads so many records, and commits each one, with the answer
awaited, before it takes the next. Prints the seconds from the first record in hand to the last commit,
then the number of each record."""
import sys
import time

from confluent_kafka import Consumer


def number(body):
    """The number of a record: what stands between the bracket and the first comma."""
    return int(body[2 : body.index(b",")])


broker, topic, group, count = sys.argv[1:]
consumer = Consumer({
    "bootstrap.servers": broker,
    "group.id": group,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
})
consumer.subscribe([topic])
began, numbers = None, []
while len(numbers) < int(count):
    record = consumer.poll(1.0)
    if record is None:
        continue
    if record.error():
        sys.exit(f"the consumer fails: {record.error()}")
    began = began or time.monotonic()
    numbers.append(number(record.value()))
    consumer.commit(message=record, asynchronous=False)
print(time.monotonic() - began)
print(*numbers, sep="\n")
consumer.close()
