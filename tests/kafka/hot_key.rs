//! One key that waits for its retry does not keep others out.

use crate::{order, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;
use std::collections::BTreeSet;

fn small(broker: &Broker, head: &str, limits: &str) -> Site {
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \
         \"orders\" }}\n{limits}",
        broker.address
    );
    let pipeline = Pipeline::new("orders", plugin("orders"))
        .with("", &source)
        .with("retry", "initial_interval = \"10m\"\nmax_interval = \"10m\"");
    Site::with(head, &[pipeline])
}

fn at(partition: i32, record: Record) -> Record {
    Record { partition: Some(partition), ..record }
}

#[test]
fn a_key_that_waits_for_its_retry_keeps_no_other_out() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let hot = (0..200).map(|n| at(0, order(n, "hot", u32::from(n == 0))));
    let others = (200..260).map(|n| at(i32::from(n % 2 == 0), order(n, &format!("c{n}"), 0)));
    broker.produce("orders", &hot.chain(others).collect::<Vec<_>>());
    let site = small(&broker, "", "max_in_flight = 10");
    let worker = site.worker();
    worker.log.wait_for("all others are taken", 60, |line| line.says(" taken"));
    assert_eq!(taken(&worker.log).into_iter().collect::<BTreeSet<_>>(), (200..260).collect());
    worker.stop();
}

/// As many keys that wait for their retries as there are places.
#[test]
fn messages_that_wait_for_their_retries_keep_no_other_out() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let fails = (0..50).map(|n| order(n, &format!("c{n}"), 1));
    let others = (50..80).map(|n| order(n, &format!("c{n}"), 0));
    broker.produce("orders", &fails.chain(others).collect::<Vec<_>>());
    let site = small(&broker, "", "max_in_flight = 10");
    let worker = site.worker();
    worker.log.wait_for("all others are taken", 30, |line| line.says(" taken"));
    worker.stop();
}

#[test]
fn a_partition_whose_key_fills_the_bytes_stops_alone_and_says_so() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let heavy = |record: Record| {
        let mut body = record.value.unwrap_or_default();
        body.resize(64 << 10, b' ');
        Record { value: Some(body), ..record }
    };
    let hot = (0..60).map(|n| heavy(at(0, order(n, "hot", u32::from(n == 0)))));
    broker.produce("orders", &hot.collect::<Vec<_>>());
    let limits = "max_in_flight = 10\nmax_in_flight_bytes = \"2MiB\"";
    let site = small(&broker, "max_message_bytes = \"128KiB\"", limits);
    let worker = site.worker();
    let partitions = || -> Value {
        let all: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
        all["pipelines"]["orders"]["broker"]["partitions"].clone()
    };
    let held = until("the hot partition is held back", || {
        let all = partitions();
        (all[0]["here"]["held_back"] == true).then_some(all)
    });
    assert_eq!(held[1]["here"]["held_back"], false, "{held}");
    let said = site.done(&["status"]);
    assert!(said.contains("paused, too much of it waits for others of its key"), "{said}");
    // More than the whole of the bytes: what is done with leaves room, and the hot partition takes none of
    // it.
    broker.produce("orders", &(100..160).map(|n| heavy(at(1, order(n, "c", 0)))).collect::<Vec<_>>());
    worker.log.wait_for("the other partition goes on", 60, |line| line.says(" taken"));
    worker.stop();
    // A worker that need not wait for so long handles them all.
    let config = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration is there").replace("10m", "10ms");
    std::fs::write(&config, text).expect("it is written");
    site.until_empty();
    assert_eq!(site.status("orders").handled, 120);
}
