//! End to end: real components, compiled from source, through the real binary.
//!
//! What the books and the log say of retries, letters, lanes, duplicates, replays, isolation,
//! backpressure and an idle worker.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod batches;
mod combinations;
mod databases;
mod decoding;
mod duplicates;
mod dynamodb;
mod effects;
mod envelopes;
mod failures;
mod floods;
mod flow;
mod grants;
mod hostile_bytes;
mod idle;
mod isolation;
mod keys;
mod lanes;
mod older;
mod payments;
mod pressure;
mod registries;
mod replay;
mod sending;
mod skip;
mod steering;
mod surroundings;
mod tracing;
mod waits;

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};

/// A pipeline of the plugin that does what its messages say; retries are quick, and so are timeouts.
fn chaos() -> Pipeline {
    Pipeline::new("chaos", plugin("chaos"))
        .with("handler", "timeout = \"500ms\"\nmemory = \"32MiB\"")
        .with("retry", "max_attempts = 2\ninitial_interval = \"20ms\"")
}

/// A site with the pipeline `orders`.
fn orders(sections: &[(&'static str, &str)]) -> Site {
    let pipeline = Pipeline::new("orders", plugin("orders"));
    Site::new(&[sections.iter().fold(pipeline, |p, (section, lines)| p.with(section, lines))])
}

/// An order; it is taken after so many failures.
fn order(number: u64, failures: u32) -> String {
    format!(
        "{{\"id\": {number}, \"customer\": \"c\", \"amount_cents\": 5, \"gateway_down_for\": {failures}}}"
    )
}

/// The ids of the messages that were taken, in the order of the log.
fn taken(log: &pelton_tests::log::Log) -> Vec<String> {
    let lines = log.lines();
    lines.iter().filter(|l| l.says(" taken")).map(|l| l.field("message_id").to_owned()).collect()
}
