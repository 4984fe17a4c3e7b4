//! Redis: the real binary on a real server.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod again;
mod basics;
mod crash;
mod depth;
mod full;
mod hostile;
mod hot_key;
mod letters;
mod lost;
mod outage;
mod panics;
mod pressure;
mod received;
mod replay;
mod reset;
mod skip;
mod takeover;
mod tracing;
mod ways;

use pelton_tests::components::plugin;
use pelton_tests::log::{Line, Log};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};

const STREAM: &str = "orders";
const GROUP: &str = "workers";
const LIST: &str = "orders";

/// A pipeline of orders that reads a stream.
fn stream(url: &str, more: &str) -> Pipeline {
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{url}\", stream = \"{STREAM}\", group = \"{GROUP}\", \
         body_field = \"body\", key_field = \"customer\"{more} }}"
    );
    pipeline(&source)
}

/// The same that reads a list.
fn list(url: &str, more: &str) -> Pipeline {
    let source = format!("source = {{ type = \"redis-list\", url = \"{url}\", list = \"{LIST}\"{more} }}");
    pipeline(&source)
}

fn pipeline(source: &str) -> Pipeline {
    Pipeline::new("orders", plugin("orders"))
        .with("", source)
        .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")
}

fn site(pipeline: Pipeline) -> Site {
    Site::new(&[pipeline])
}

/// An order; it is taken after so many failures.
fn body(number: u64, customer: &str, failures: u32) -> Vec<u8> {
    format!(
        "{{\"id\": {number}, \"customer\": \"{customer}\", \"amount_cents\": 5, \"gateway_down_for\": \
         {failures}}}"
    )
    .into_bytes()
}

/// The same as the fields of an entry.
fn order(number: u64, customer: &str, failures: u32) -> Vec<(&'static str, Vec<u8>)> {
    vec![("customer", customer.as_bytes().to_vec()), ("body", body(number, customer, failures))]
}

/// Adds orders of twenty customers; some fail at first.
fn add(redis: &Redis, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let one = |n: u64| order(n, &format!("c-{}", n % 20), u32::from(n % 50 == 3));
    redis.add(STREAM, &numbers.map(one).collect::<Vec<_>>())
}

/// The numbers of the orders that were taken, in the order of the log.
fn taken(log: &Log) -> Vec<u64> {
    log.lines().iter().filter(|l| l.field("message").ends_with(" taken")).map(number).collect()
}

/// The number of the order that a line is about.
fn number(line: &Line) -> u64 {
    let digits = line.field("message").chars().skip_while(|c| !c.is_ascii_digit());
    let digits: String = digits.take_while(char::is_ascii_digit).collect();
    digits.parse().expect("the line names the order")
}

/// What `status --json` says of the pipeline.
fn status(site: &Site) -> serde_json::Value {
    let all: serde_json::Value =
        serde_json::from_str(&site.done(&["status", "--json"])).expect("the status is JSON");
    all["pipelines"]["orders"].clone()
}
