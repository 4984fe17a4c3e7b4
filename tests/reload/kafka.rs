//! Swaps on a topic: order and offsets are kept, by a real broker.

use crate::{COMPONENT, component, taken, version};
use pelton_tests::components::orders_version;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const PARTITIONS: i32 = 4;
const KEYS: u64 = 50;
const SWAPS: u32 = 100;

fn orders_of(numbers: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    let one = |n: u64| {
        let key = format!("k{}", n % KEYS);
        let body = format!("{{\"id\": {n}, \"customer\": \"{key}\", \"amount_cents\": 5}}");
        Record { key: Some(key.into_bytes()), value: Some(body.into_bytes()), ..Record::default() }
    };
    numbers.map(one).collect()
}

fn site(broker: &Broker) -> Site {
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \
         \"orders\" }}",
        broker.address
    );
    let pipeline =
        Pipeline::new("orders", COMPONENT.into()).with("", &source).with("handler", "reload = \"manual\"");
    let site = Site::new(&[pipeline]);
    std::fs::write(component(&site), orders_version(0)).expect("the component is written");
    site
}

/// Produces for as long as `work` takes; how many records there are.
fn under_load(broker: &Broker, work: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut produced = 0;
            while !done.load(Ordering::Acquire) {
                broker.produce("orders", &orders_of(produced + 1..=produced + 200));
                produced += 200;
            }
            produced
        });
        work();
        done.store(true, Ordering::Release);
        producer.join().expect("it produces")
    })
}

/// Each record took effect once, in the order of its key, and all of it is committed.
fn is_in_order(broker: &Broker, site: &Site, produced: u64, effects: &[(u64, u32)]) {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for (number, _) in effects {
        let before = last.insert(number % KEYS, *number);
        assert!(before < Some(*number), "order {number} of its key came after {before:?}");
    }
    assert_eq!(effects.len() as u64, produced, "each once");
    let committed: i64 = broker.committed("orders", "orders", PARTITIONS).into_iter().flatten().sum();
    assert_eq!(committed, i64::try_from(produced).expect("not that many"));
    let status = site.status("orders");
    assert_eq!((status.handled, status.retries, status.dead_letters), (produced, 0, 0), "{status:?}");
}

#[test]
fn swaps_and_a_trial_keep_the_order_of_keys_and_commit_to_the_end() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let site = site(&broker);
    let files: Vec<String> = (0..5).map(|number| version(&site, number)).collect();
    let worker = site.worker().ready();
    let produced = under_load(&broker, || {
        for swap in 1..=SWAPS {
            site.done(&["deploy", "orders", &files[(swap % 5) as usize], "--now"]);
        }
        site.done(&["deploy", "orders", &files[1], "--canary", "0.5", "--wait"]);
    });
    let all = produced.try_into().expect("not that many");
    worker.log.wait_for("all is handled", all, |line| taken(line).is_some());
    worker.stop();
    let effects: Vec<(u64, u32)> = worker.log.lines().iter().filter_map(taken).collect();
    is_in_order(&broker, &site, produced, &effects);
}

#[test]
fn a_pipeline_that_begins_anew_goes_on_where_it_was() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let site = site(&broker);
    let worker = site.worker().ready();
    let config = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&config).expect("it is there");
    let produced = under_load(&broker, || {
        for max in [500, 700] {
            let changed = text
                .replace("[pipelines.orders]\n", &format!("[pipelines.orders]\nmax_in_flight = {max}\n"));
            std::fs::write(&config, changed).expect("it is written");
            assert!(site.done(&["reload"]).contains("orders has begun anew"));
        }
    });
    let all = produced.try_into().expect("not that many");
    worker.log.wait_for("all is handled", all, |line| taken(line).is_some());
    worker.stop();
    let effects: Vec<(u64, u32)> = worker.log.lines().iter().filter_map(taken).collect();
    is_in_order(&broker, &site, produced, &effects);
}
