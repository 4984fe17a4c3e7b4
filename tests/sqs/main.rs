//! SQS: the real binary on a real API (ElasticMQ), and on one that answers badly.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod advice;
mod again;
mod answers;
mod basics;
mod bench;
mod books;
mod crash;
mod depth;
mod elsewhere;
mod envelopes;
mod flow;
mod hostile;
mod hosts;
mod hot_key;
mod letters;
mod limits;
mod network;
mod panics;
mod received;
mod receives;
mod redrive;
mod requests;
mod shutdown;
mod skip;
mod status;
mod tracing;
mod workers;

use pelton_tests::components::plugin;
use pelton_tests::log::{Line, Log};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::sqs::{LOGIN, Sent};
use pelton_tests::worker::{Ended, Worker};
use std::process::Output;

/// A source that reads a queue. A client that ends in a long poll takes the next message with
/// it here, for as long as that is invisible; so that is short.
fn source(queue_url: &str, more: &str) -> String {
    format!(
        "source = {{ type = \"sqs\", queue_url = \"{queue_url}\", wait_time = \"1s\", visibility_timeout = \
         \"5s\"{more} }}"
    )
}

/// A pipeline of orders that reads a queue.
fn pipeline(queue_url: &str, more: &str) -> Pipeline {
    Pipeline::new("orders", plugin("orders"))
        .with("", &source(queue_url, more))
        .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")
}

/// A site whose commands can log in.
struct Shop(Site);

impl Shop {
    fn new(pipelines: &[Pipeline]) -> Self {
        Self(Site::new(pipelines))
    }

    fn worker(&self) -> Worker {
        self.0.worker_with(&[], &LOGIN)
    }

    fn until_empty(&self) -> (Worker, Ended) {
        let worker = self.0.worker_with(&["--until-empty"], &LOGIN);
        let ended = worker.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}{}", worker.log.tail());
        (worker, ended)
    }

    fn run(&self, words: &[&str]) -> Output {
        self.0.command(words).envs(LOGIN).output().expect("pelton can be started")
    }

    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "pelton {words:?} ended with {}:\n{out}{err}", output.status);
        out.into_owned()
    }

    /// What `dlq list --json` says, letter by letter.
    fn letters(&self) -> Vec<serde_json::Value> {
        let listed = self.done(&["dlq", "list", "orders", "--json"]);
        listed.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// What `status --json` says of the pipeline.
    fn status(&self) -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(&self.done(&["status", "--json"])).expect("the status is JSON");
        all["pipelines"]["orders"].clone()
    }
}

/// An order of a group; it is taken after so many failures.
fn order(number: u64, group: &str, failures: u32) -> Sent {
    let body = format!(
        "{{\"id\": {number}, \"customer\": \"{group}\", \"amount_cents\": 5, \"gateway_down_for\": \
         {failures}}}"
    );
    Sent { body, group: Some(group.to_owned()), dedup: Some(number.to_string()), ..Sent::default() }
}

/// The same for a queue without order.
fn plain(number: u64, failures: u32) -> Sent {
    Sent { group: None, dedup: None, ..order(number, "k", failures) }
}

/// The numbers of the orders that were taken, in the order of the log.
fn taken(log: &Log) -> Vec<u64> {
    log.lines().iter().filter(|l| l.says(" taken")).map(number).collect()
}

/// The number of the order that a line is about.
fn number(line: &Line) -> u64 {
    let digits = line.field("message").chars().skip_while(|c| !c.is_ascii_digit());
    let digits: String = digits.take_while(char::is_ascii_digit).collect();
    digits.parse().expect("the line names the order")
}

/// The number of the order in a body.
fn number_in(body: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(body).ok()?["id"].as_u64()
}
