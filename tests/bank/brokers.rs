//! The brokers whose messages a fleet shares.

use pelton_tests::bank::{Bank, transfer};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::redis::Redis;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Sent, Sqs};
use std::ops::RangeInclusive;

/// The topic, stream and list, and the group.
const NAME: &str = "transfers";
const PARTITIONS: i32 = 6;

/// A broker with one thing to read.
pub enum Shared {
    Kafka(Broker),
    Sqs(Sqs, String),
    Stream(Redis),
    List(Redis),
}

impl Shared {
    pub fn kafka() -> Self {
        let broker = Broker::start();
        broker.topic(NAME, PARTITIONS);
        Self::Kafka(broker)
    }

    pub fn sqs() -> Self {
        let sqs = Sqs::start();
        let url = sqs.queue(NAME, &[]);
        Self::Sqs(sqs, url)
    }

    pub fn stream() -> Self {
        Self::Stream(Redis::start())
    }

    pub fn list() -> Self {
        Self::List(Redis::start())
    }

    /// The pipeline that reads it. What a dead worker had comes again soon.
    pub fn pipeline(&self) -> Pipeline {
        let source = match self {
            Self::Kafka(broker) => format!(
                "type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"{NAME}\"], group_id = \"{NAME}\", \
                 group_protocol = \"consumer\"",
                broker.address
            ),
            Self::Sqs(_, url) => format!(
                "type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \"3s\""
            ),
            Self::Stream(redis) => format!(
                "type = \"redis-stream\", url = \"{}\", stream = \"{NAME}\", group = \"{NAME}\", \
                 body_field = \"body\", claim_min_idle = \"2s\"",
                redis.url()
            ),
            Self::List(redis) => {
                format!(
                    "type = \"redis-list\", url = \"{}\", list = \"{NAME}\", takeover_after = \"2s\"",
                    redis.url()
                )
            }
        };
        Bank::pipeline(&format!("max_in_flight = 100\nsource = {{ {source} }}"))
    }

    /// Sends transfers.
    pub fn send(&self, numbers: RangeInclusive<u64>) {
        let bodies: Vec<(u64, String)> = numbers.map(|number| (number, transfer(number))).collect();
        match self {
            Self::Kafka(broker) => {
                let record = |(number, body): (u64, String)| Record {
                    key: Some(format!("k{}", number % 60).into_bytes()),
                    value: Some(body.into_bytes()),
                    ..Record::default()
                };
                broker.produce(NAME, &bodies.into_iter().map(record).collect::<Vec<_>>());
            }
            Self::Sqs(sqs, url) => {
                let one = |(_, body): (u64, String)| Sent { body, ..Sent::default() };
                sqs.send(url, &bodies.into_iter().map(one).collect::<Vec<_>>());
            }
            Self::Stream(redis) => {
                let entry = |(_, body): (u64, String)| vec![("body", body.into_bytes())];
                redis.add(NAME, &bodies.into_iter().map(entry).collect::<Vec<_>>());
            }
            Self::List(redis) => {
                redis
                    .push(NAME, &bodies.into_iter().map(|(_, body)| body.into_bytes()).collect::<Vec<_>>());
            }
        }
    }

    /// Whether all that was sent is settled.
    pub fn is_done(&self, count: u64) -> bool {
        match self {
            Self::Kafka(broker) => {
                let committed = broker.committed(NAME, NAME, PARTITIONS);
                committed.into_iter().flatten().sum::<i64>() >= count as i64
            }
            Self::Sqs(sqs, url) => sqs.counts(url).unsettled() == 0,
            Self::Stream(redis) => redis.all_pending(NAME, NAME) == 0,
            Self::List(redis) => redis.run::<u64>("LLEN", &[NAME]) == 0,
        }
    }
}
