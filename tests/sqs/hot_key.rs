//! One key that waits for its retry does not keep others out.

use crate::{Shop, order, plain, source, taken};
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Sent, Sqs};
use pelton_tests::wait::until;
use std::collections::BTreeSet;

/// With few places, and a retry that is far away.
fn few(url: &str) -> Shop {
    let own = format!("{}\nmax_in_flight = 10", source(url, ""));
    let pipeline = Pipeline::new("orders", plugin("orders")).with("", &own);
    Shop::new(&[pipeline.with("retry", "initial_interval = \"10m\"\nmax_interval = \"10m\"")])
}

/// What waits is at the service: a group of which the first waits is not handed out beyond what came with it.
#[test]
fn a_group_that_waits_for_its_retry_keeps_no_other_out() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let hot = (0..60).map(|n| order(n, "hot", u32::from(n == 0)));
    // Behind the hot group, in groups of one and of many.
    let others = (60..120).map(|n| order(n, if n % 2 == 0 { "other" } else { "third" }, 0));
    sqs.send(&url, &hot.chain(others).collect::<Vec<_>>());
    let shop = few(&url);
    let worker = shop.worker();
    worker.log.wait_for("all others are taken", 60, |line| line.says(" taken"));
    let taken = taken(&worker.log);
    assert_eq!(taken.iter().copied().collect::<BTreeSet<_>>(), (60..120).collect());
    for group in 0..2 {
        let of_group: Vec<u64> = taken.iter().copied().filter(|n| n % 2 == group).collect();
        assert!(of_group.is_sorted(), "{of_group:?}");
    }
    // The hot group's place is free for what comes later, too.
    sqs.send(&url, &[order(120, "late", 0), order(121, "hot", 0)]);
    worker.log.wait_for("the late one is taken", 61, |line| line.says(" taken"));
    until("nothing but the hot group is left", || (sqs.counts(&url).unsettled() == 61).then_some(()));
    assert_eq!(shop.status()["held_back"], false);
    worker.stop();
}

/// Without order each of them waits at the service by itself.
#[test]
fn messages_that_wait_for_their_retries_keep_no_other_out() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let all: Vec<Sent> = (0..80).map(|n| plain(n, u32::from(n < 50))).collect();
    sqs.send(&url, &all);
    let shop = few(&url);
    let worker = shop.worker();
    worker.log.wait_for("all others are taken", 30, |line| line.says(" taken"));
    assert_eq!(taken(&worker.log).into_iter().collect::<BTreeSet<_>>(), (50..80).collect());
    worker.stop();
}
