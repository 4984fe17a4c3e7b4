//! Flow: a downstream that bears no more than so much a second, or is away for a while.
//!
//! Time is scaled: seconds stand for minutes, and a hundred requests a second for three hundred.

use pelton_tests::components::plugin;
use pelton_tests::payment_gateway::{Gateway, Trouble};
use pelton_tests::payments::{balance, grants, order_of};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;
use std::time::Duration;

/// What the gateway bears in a second.
const BEARS: usize = 100;
/// What has been sent while the consumer was away.
const BACKLOG: u64 = 400;

fn gateway() -> Gateway {
    Gateway::start("127.0.0.1:0", Trouble::default()).expect("it can listen")
}

/// Payments at a gateway, with a backlog of so many.
fn site(gateway: &Gateway, retry: &str, flow: Option<&str>, backlog: u64) -> Site {
    let pipeline = Pipeline::new("payments", plugin("payments"))
        .with("dedup", "key = \"json:/id\"")
        .with("retry", retry)
        .with("grants", &grants(gateway));
    let site = Site::new(&[flow.into_iter().fold(pipeline, |pipeline, flow| pipeline.with("flow", flow))]);
    // Of a customer each: else they change each other's totals.
    let orders: Vec<String> = (1..=backlog).map(|n| order_of(n, &format!("c{n}"))).collect();
    site.send_lines("payments", &[], &orders);
    site
}

const RETRY: &str = "max_attempts = 50\ninitial_interval = \"20ms\"\nmax_interval = \"200ms\"";

#[test]
fn after_an_outage_a_limited_pipeline_recovers_without_one_failure_of_its_downstream() {
    let gateway = gateway();
    gateway.bears(BEARS);
    let flow = "rate = { max = \"80/s\", burst = 8 }\n\
                ramp_up = { over = \"2s\", from = 0.1, outage_after = \"10ms\" }";
    let site = site(&gateway, RETRY, Some(flow), BACKLOG);
    let (worker, _) = site.until_empty();
    let books = gateway.books();
    assert_eq!((books.overloads, books.requests), (0, BACKLOG), "{}", worker.log.tail());
    let early = gateway.requests_within(Duration::from_secs(1));
    assert!(early <= 45, "{early} in the first second: the rate begins with 8 a second and grows");
    let said = |words: &str| worker.log.lines().iter().filter(|line| line.says(words)).count();
    assert_eq!((said("there was an outage"), said("the rate is full again")), (1, 1));
    balance(&site, &gateway, 1..=BACKLOG, false);
}

#[test]
fn without_limits_the_backlog_of_an_outage_is_more_than_the_downstream_bears() {
    let gateway = gateway();
    gateway.bears(BEARS);
    let site = site(&gateway, RETRY, None, BACKLOG);
    let _worker = site.worker();
    until("it fails", || (gateway.books().overloads > 10).then_some(()));
}

/// What `status --json` says of the flow.
fn flow_of(site: &Site) -> Value {
    let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("it is JSON");
    status["pipelines"]["payments"]["flow"].clone()
}

#[test]
fn a_breaker_keeps_messages_from_their_letters_while_the_downstream_is_away() {
    let gateway = gateway();
    gateway.down(true);
    let retry = "max_attempts = 3\ninitial_interval = \"20ms\"\nmax_interval = \"50ms\"";
    let flow = "circuit_breaker = { failure_rate = 0.5, minimum = 4, open_for = \"200ms\" }";
    let site = site(&gateway, retry, Some(flow), 60);
    let worker = site.worker();
    let is_open = |line: &pelton_tests::log::Line| line.says("the circuit breaker is open");
    worker.log.wait_for("it opens again and again", 4, is_open);
    let flow = flow_of(&site);
    assert!(flow["opened"].as_u64() >= Some(4) && flow["excused"].as_u64() >= Some(3), "{flow}");
    assert_eq!(site.status("payments").dead_letters, 0, "three attempts are over in a tenth of a second");
    gateway.down(false);
    until("all are handled", || (site.status("payments").handled == 60).then_some(()));
    worker.log.wait("it closes", |line| line.says("the circuit breaker is closed"));
    assert_eq!((flow_of(&site)["breaker"].as_str(), site.letters("payments").len()), (Some("closed"), 0));
    balance(&site, &gateway, 1..=60, false);
    worker.stop();
}

#[test]
fn a_worker_that_is_to_end_when_nothing_is_left_ends_with_one_when_it_is_paused() {
    let gateway = gateway();
    let site = site(&gateway, RETRY, None, 3);
    site.done(&["pause", "payments", "--reason", "the gateway moves"]);
    let worker = site.worker_with(&["--until-empty"], &[]);
    assert_eq!(worker.wait().code, Some(1), "{}", worker.log.tail());
    let tail = worker.log.tail();
    assert!(tail.contains("was not emptied") && tail.contains("pelton resume"), "{tail}");
    assert_eq!((gateway.books().requests, site.status("payments").queued), (0, 3));
    site.done(&["resume", "payments"]);
    site.until_empty();
    balance(&site, &gateway, 1..=3, false);
}
