//! Kafka: the real binary on a real broker.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod again;
mod anew;
mod basics;
mod content;
mod crash;
mod fleet;
mod hostile;
mod hot_key;
mod letters;
mod many;
mod network;
mod odd;
mod offsets;
mod outbox;
mod panics;
mod pressure;
mod rebalance;
mod refused;
mod replay;
mod rights;
mod schemas;
mod security;
mod skip;
mod status;
mod steering;
mod tracing;

use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::log::{Line, Log};
use pelton_tests::site::{Pipeline, Site};

/// A pipeline of orders that reads a topic of its own name in a group of its own name.
fn pipeline(broker: &Broker, topic: &str, more: &str) -> Pipeline {
    reads(broker, topic, topic, more)
}

/// The same of several topics, with quotes and commas between.
fn reads(broker: &Broker, topics: &str, group: &str, more: &str) -> Pipeline {
    Pipeline::new("orders", plugin("orders"))
        .with("", &source(broker, topics, group, more))
        .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")
}

/// The line of a source.
fn source(broker: &Broker, topics: &str, group: &str, more: &str) -> String {
    format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"{topics}\"], group_id = \
         \"{group}\" {more}}}",
        broker.address
    )
}

fn site(broker: &Broker, topic: &str) -> Site {
    Site::new(&[pipeline(broker, topic, "")])
}

/// With a member that the group misses soon after it was killed.
fn missed_soon(broker: &Broker, topic: &str) -> Site {
    Site::new(&[pipeline(broker, topic, ", librdkafka = { \"session.timeout.ms\" = 3000 }")])
}

/// An order with a key; it is taken after so many failures.
fn order(number: u64, key: &str, failures: u32) -> Record {
    let body = format!(
        "{{\"id\": {number}, \"customer\": \"{key}\", \"amount_cents\": 5, \"gateway_down_for\": {failures}}}"
    );
    Record { key: Some(key.as_bytes().to_vec()), value: Some(body.into_bytes()), ..Record::default() }
}

/// The numbers of the orders that were taken, in the order of the log.
fn taken(log: &Log) -> Vec<u64> {
    log.lines().iter().filter(|line| is_taken(line)).map(number).collect()
}

/// Whether the handler says that it has taken an order. The worker may use the word too.
fn is_taken(line: &Line) -> bool {
    line.field("target") == "guest" && line.says(" taken")
}

/// The number of the order that a line is about.
fn number(line: &Line) -> u64 {
    let digits = line.field("message").chars().skip_while(|c| !c.is_ascii_digit());
    let digits: String = digits.take_while(char::is_ascii_digit).collect();
    digits.parse().expect("the line names the order")
}
