//! Fault 27, from a broker whose client reads ahead.

use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::pressure::{heavy, works_within};
use pelton_tests::site::{Pipeline, Site};

const RECORDS: u64 = 6_000;

#[test]
fn a_worker_that_may_have_256_mib_is_not_killed_and_loses_nothing() {
    let broker = Broker::start();
    broker.topic("heavy", 4);
    let body = heavy();
    let record = |n: u64| Record {
        key: Some(n.to_string().into_bytes()),
        value: Some(body.clone().into_bytes()),
        ..Record::default()
    };
    broker.produce("heavy", &(0..RECORDS).map(record).collect::<Vec<_>>());
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"heavy\"], group_id = \
         \"heavy\" }}\nmax_in_flight = 100000",
        broker.address
    );
    let chaos = Pipeline::new("chaos", plugin("chaos"))
        .with("", &source)
        .with("handler", "timeout = \"50ms\"\nconcurrency = 2")
        .with("retry", "max_attempts = 1");
    let site = Site::with("shutdown_timeout = \"1s\"", &[chaos]);
    works_within(&site, "chaos", &[], 100);
    let status = site.status("chaos");
    assert_eq!(status.left() + status.dead_letters, RECORDS, "{status:?}");
}
