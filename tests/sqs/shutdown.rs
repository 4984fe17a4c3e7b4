//! Fault 26: told to end under load, told twice, and with handlers that do not end.

use crate::{Shop, order, plain, taken};
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::sqs::{Counts, Sent, Sqs};
use pelton_tests::wait::until;
use rustix::process::Signal;
use std::collections::BTreeMap;

/// A message is ours for long, so that what was not given back shows.
fn source(url: &str) -> String {
    format!(
        "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \
         \"60s\" }}"
    )
}

fn orders(url: &str) -> Shop {
    Shop::new(&[Pipeline::new("orders", plugin("orders")).with("", &source(url))])
}

/// Ends a worker under load; the orders of two workers, each in the order they were taken.
fn ended_under_load(sqs: &Sqs, url: &str, all: &[Sent]) -> [Vec<u64>; 2] {
    sqs.send(url, all);
    let shop = orders(url);
    let worker = shop.worker();
    worker.log.wait_for("it takes orders", 50, |line| line.says(" taken"));
    worker.stop();
    let first = taken(&worker.log);
    let left = all.len() - first.len();
    assert!(left > 0, "it ended under load");
    let counts = sqs.counts(url);
    assert_eq!((counts.visible, counts.in_flight), (left as u64, 0), "the rest is there at once");
    let (next, _) = shop.until_empty();
    let suspects = next.log.lines().into_iter().find(|line| line.says("died"));
    assert!(suspects.is_none(), "an orderly end is no crash: {suspects:?}");
    let status = shop.status();
    let counted = (&status["handled"], &status["retries"], &status["duplicates"]);
    assert_eq!(counted, (&all.len().into(), &0.into(), &0.into()), "what was not started was no attempt");
    [first, taken(&next.log)]
}

#[test]
fn told_to_end_under_load_it_finishes_or_gives_back() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let all: Vec<Sent> = (1..=2_000).map(|n| plain(n, 0)).collect();
    let mut both = ended_under_load(&sqs, &url, &all).concat();
    both.sort_unstable();
    assert_eq!(both, (1..=2_000).collect::<Vec<_>>());
}

#[test]
fn groups_that_are_given_back_keep_their_order() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let all: Vec<Sent> = (1..=1_000).map(|n| order(n, &format!("g-{}", n % 20), 0)).collect();
    let both = ended_under_load(&sqs, &url, &all).concat();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for number in &both {
        let before = last.insert(number % 20, *number);
        assert!(before < Some(*number), "order {number} of its group came after {before:?}");
    }
    assert_eq!(both.len(), 1_000);
}

/// A worker that is stuck with one message, for as long as `shutdown_timeout` lets it.
fn stuck(url: &str, shutdown_timeout: &str) -> Shop {
    let head = format!("shutdown_timeout = \"{shutdown_timeout}\"");
    let pipeline = Pipeline::new("orders", plugin("chaos"));
    Shop(Site::with(&head, &[pipeline.with("", &source(url)).with("handler", "timeout = \"1h\"")]))
}

fn sleeper() -> Sent {
    Sent { body: "{\"do\": \"sleep\"}".into(), ..Sent::default() }
}

#[test]
fn a_handler_that_does_not_end_is_interrupted_and_its_message_given_back() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let ids = sqs.send(&url, &[sleeper()]);
    let shop = stuck(&url, "1s");
    let worker = shop.worker().ready();
    until("it runs", || (shop.status()["in_flight"] == 1).then_some(()));
    worker.stop();
    assert_eq!(sqs.counts(&url), Counts { visible: 1, ..Counts::default() });
    assert_eq!(shop.status()["retries"], 0);
    assert!(!shop.run(&["ledger", "show", "orders", &ids[0]]).status.success(), "it was no attempt");
}

#[test]
fn told_a_second_time_it_ends_at_once_and_nothing_is_lost() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    sqs.send(&url, &[sleeper()]);
    let shop = stuck(&url, "10m");
    let worker = shop.worker().ready();
    until("it runs", || (shop.status()["in_flight"] == 1).then_some(()));
    assert!(worker.signal(Signal::TERM));
    worker.log.wait("it drains", |line| line.says("draining"));
    assert!(worker.signal(Signal::TERM));
    let ended = worker.wait();
    assert_eq!((ended.code, ended.signal), (Some(143), None), "{}", worker.log.tail());
    assert_eq!(sqs.counts(&url).unsettled(), 1);
}
