//! What a worker says of its partitions while it runs.

use crate::order;
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;

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
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \"orders\", max_uncommitted = 1000 }}",
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
