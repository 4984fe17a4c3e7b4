//! What a worker says of its partitions while it runs.

use crate::order;
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::{DEADLINE, until};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Instant;

fn partition(site: &Site) -> Value {
    let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    status["pipelines"]["orders"]["broker"]["partitions"][0].clone()
}

#[test]
fn what_a_watermark_waits_for_is_said_and_how_far_it_may_fall_behind_is_bounded() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    // The first one fails, and its retry is far away; the others pass it.
    let records: Vec<Record> = (0..6_000).map(|n| order(n, &format!("c{n}"), u32::from(n == 0))).collect();
    broker.produce("orders", &records);
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \
         \"orders\", max_uncommitted = 1000 }}",
        broker.address
    );
    let slow = Pipeline::new("orders", plugin("orders"))
        .with("", &source)
        .with("retry", "initial_interval = \"10m\"\nmax_interval = \"10m\"");
    let site = Site::new(&[slow]);
    assert!(partition(&site)["here"].is_null(), "no worker runs");
    let worker = site.worker();
    let part = until("the partition is held back", || {
        let part = partition(&site);
        (part["here"]["held_back"] == true).then_some(part)
    });
    let (here, by) = (&part["here"], &part["here"]["blocked_by"]);
    assert_eq!(
        (&by["offset"], &by["attempt"], &by["doing"]),
        (&0.into(), &1.into(), &"waits for its retry".into())
    );
    let behind = here["behind"].as_u64().expect("a number");
    assert!((1_000..6_000).contains(&behind), "{part}");
    assert_eq!((&part["lag"], &part["end"]), (&6_000.into(), &6_000.into()));
    let held = |part: &Value| part["here"]["blocked_by"]["held_ms"].as_u64().expect("a number");
    let before = held(&part);
    until("the wait is counted while nothing happens", || (held(&partition(&site)) > before).then_some(()));
    let said = site.done(&["status"]);
    assert!(
        said.contains("offset 0 waits for its retry, attempt 1")
            && said.contains("paused by max_uncommitted"),
        "{said}"
    );
    assert!(worker.log.lines().iter().any(|l| l.says("paused: the message at this offset is not settled")));
    worker.stop();
}

fn pipeline(site: &Site) -> Value {
    let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    status["pipelines"]["orders"].clone()
}

#[test]
fn a_worker_without_its_broker_is_not_ready_and_says_why() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let site = crate::site(&broker, "orders");
    assert!(pipeline(&site)["ready"].is_null(), "no worker runs");
    broker.kill();
    let worker = site.worker();
    let ready = |wanted: bool| {
        until("the worker notices", || {
            let seen = pipeline(&site);
            (seen["ready"] == wanted && seen["trouble"].is_null() == wanted).then_some(seen)
        })
    };
    let trouble = ready(false)["trouble"].as_str().expect("words").to_owned();
    until("it says what to do", || {
        let said = site.done(&["status"]);
        (said.contains("orders is not ready") && said.contains("Check `bootstrap_servers`")).then_some(())
    });
    broker.restart();
    ready(true);
    // With nothing to read, too, it is noticed that the broker goes and comes.
    broker.kill();
    ready(false);
    broker.restart();
    ready(true);
    broker.produce("orders", &[order(1, "k", 0)]);
    worker.log.wait("the order is taken", |line| line.says(" taken"));
    assert!(!trouble.is_empty());
    worker.stop();
}

#[test]
fn a_member_whose_name_another_takes_stops_and_says_why() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let named = ", librdkafka = { \"group.instance.id\" = \"one\" }";
    let sites = [(); 2].map(|()| Site::new(&[crate::pipeline(&broker, "orders", named)]));
    let first = sites[0].worker();
    first.log.wait("it has its partition", |line| line.says("assigned"));
    let second = sites[1].worker();
    let ended = first.wait();
    assert_eq!(ended.code, Some(70), "{}", first.log.tail());
    first.log.wait("it says why", |line| line.says("give each worker its own"));
    broker.produce("orders", &[order(1, "k", 0)]);
    second.log.wait("the other goes on", |line| line.says(" taken"));
    second.stop();
}

#[test]
fn a_worker_ends_in_time_though_nobody_takes_its_letter_or_its_commit() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let bad = Record { value: Some(b"no order".to_vec()), ..Record::default() };
    broker.produce("orders", &[bad, order(1, "k", 0)]);
    let soon = ", librdkafka = { \"session.timeout.ms\" = 3000 }";
    let letters = crate::pipeline(&broker, "orders", soon).with("dead_letter", "create = false");
    let site = Site::with("shutdown_timeout = \"1s\"", &[letters]);
    let worker = site.worker();
    worker.log.wait("the letter waits", |line| line.says("dead letters cannot be written yet"));
    worker.log.wait("the order is taken", |line| line.says(" taken"));
    broker.kill();
    worker.signal(Signal::TERM);
    let told = Instant::now();
    assert_eq!(worker.wait().code, Some(0), "{}", worker.log.tail());
    assert!(told.elapsed() < DEADLINE / 2, "it took {:?}", told.elapsed());
    // Nothing was passed over: the letter is written by the next worker, the order was completed.
    broker.restart();
    broker.topic("orders-dlt", 1);
    let (worker, _) = site.until_empty();
    assert!(crate::taken(&worker.log).is_empty(), "the order is known to the ledger");
    assert_eq!(site.letters("orders").len(), 1);
    assert_eq!(broker.committed("orders", "orders", 1), [Some(2)]);
}
