//! Swaps on a queue of SQS whose groups are in order, by a real API.

use crate::{COMPONENT, component, taken, version};
use pelton_tests::components::orders_version;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::sqs::{Counts, LOGIN, Sent, Sqs};
use pelton_tests::wait::until;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const GROUPS: u64 = 10;
const SWAPS: u32 = 100;

fn order(number: u64) -> Sent {
    let group = format!("g{}", number % GROUPS);
    let body = format!("{{\"id\": {number}, \"customer\": \"{group}\", \"amount_cents\": 5}}");
    Sent { body, group: Some(group), dedup: Some(number.to_string()), ..Sent::default() }
}

#[test]
fn swaps_and_a_trial_keep_the_order_of_groups_and_delete_all() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let source = format!("source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\" }}");
    let pipeline =
        Pipeline::new("orders", COMPONENT.into()).with("", &source).with("handler", "reload = \"manual\"");
    let site = Site::new(&[pipeline]);
    std::fs::write(component(&site), orders_version(0)).expect("the component is written");
    let files: Vec<String> = (0..5).map(|number| version(&site, number)).collect();
    let worker = site.worker_with(&[], &LOGIN).ready();
    let done = AtomicBool::new(false);
    let produced = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut produced = 0;
            while !done.load(Ordering::Acquire) {
                let some: Vec<Sent> = (produced + 1..=produced + 50).map(order).collect();
                sqs.send(&url, &some);
                produced += 50;
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
    let all = produced.try_into().expect("not that many");
    worker.log.wait_for("all is handled", all, |line| taken(line).is_some());
    until("all is deleted", || (sqs.counts(&url) == Counts::default()).then_some(()));
    worker.stop();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let effects: Vec<(u64, u32)> = worker.log.lines().iter().filter_map(taken).collect();
    for (number, _) in &effects {
        let before = last.insert(number % GROUPS, *number);
        assert!(before < Some(*number), "order {number} of its group came after {before:?}");
    }
    assert_eq!(effects.len() as u64, produced, "each once");
}
