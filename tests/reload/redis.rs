//! Swaps on a stream of Redis: order and acknowledgements are kept, by a real server.

use crate::{COMPONENT, component, taken, version};
use pelton_tests::components::orders_version;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const KEYS: u64 = 50;
const SWAPS: u32 = 100;

fn entry(number: u64) -> Vec<(&'static str, Vec<u8>)> {
    let key = format!("k{}", number % KEYS);
    let body = format!("{{\"id\": {number}, \"customer\": \"{key}\", \"amount_cents\": 5}}");
    vec![("customer", key.into_bytes()), ("body", body.into_bytes())]
}

/// Entries that are given and not acknowledged.
fn pending(redis: &Redis) -> i64 {
    let (count, ..): (i64, ::redis::Value, ::redis::Value, ::redis::Value) =
        redis.run("XPENDING", &["orders", "orders"]);
    count
}

#[test]
fn a_hundred_swaps_and_a_trial_keep_the_order_of_keys_and_acknowledge_all() {
    let redis = Redis::start();
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"orders\", group = \"orders\", \
         body_field = \"body\", key_field = \"customer\" }}",
        redis.url()
    );
    let pipeline =
        Pipeline::new("orders", COMPONENT.into()).with("", &source).with("handler", "reload = \"manual\"");
    let site = Site::new(&[pipeline]);
    std::fs::write(component(&site), orders_version(0)).expect("the component is written");
    let files: Vec<String> = (0..5).map(|number| version(&site, number)).collect();
    let worker = site.worker().ready();
    let done = AtomicBool::new(false);
    let produced = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut produced = 0;
            while !done.load(Ordering::Acquire) {
                let entries: Vec<_> = (produced + 1..=produced + 200).map(entry).collect();
                redis.add("orders", &entries);
                produced += 200;
                until("the backlog is worked off", || {
                    let left = produced - site.status("orders").handled;
                    (done.load(Ordering::Acquire) || left < 1_000).then_some(())
                });
            }
            produced
        });
        for swap in 1..=SWAPS {
            site.done(&["deploy", "orders", &files[(swap % 5) as usize], "--now"]);
        }
        site.done(&["deploy", "orders", &files[1], "--canary", "0.5", "--wait"]);
        done.store(true, Ordering::Release);
        producer.join().expect("it produces")
    });
    worker.log.wait_for("all is handled", produced.try_into().expect("not that many"), |line| {
        taken(line).is_some()
    });
    until("all is acknowledged", || (pending(&redis) == 0).then_some(()));
    worker.stop();
    let effects: Vec<(u64, u32)> = worker.log.lines().iter().filter_map(taken).collect();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for (number, _) in &effects {
        let before = last.insert(number % KEYS, *number);
        assert!(before < Some(*number), "order {number} of its key came after {before:?}");
    }
    assert_eq!(effects.len() as u64, produced, "each once");
    let status = site.status("orders");
    assert_eq!((status.handled, status.retries, status.dead_letters), (produced, 0, 0), "{status:?}");
}
