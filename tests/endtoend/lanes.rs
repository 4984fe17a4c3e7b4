//! Messages with the same key: in order, one at a time, also across a retry.

use crate::{order, orders, taken};

#[test]
fn a_lane_keeps_its_order_across_retries_and_others_go_on() {
    let site = orders(&[("retry", "initial_interval = \"400ms\"\njitter = 0.0")]);
    let lane = |first: u64, fails: u64| {
        (first..first + 60).map(|n| order(n, u32::from(n == fails))).collect::<Vec<_>>()
    };
    site.send_lines("orders", &["--key", "a"], &lane(1, 1));
    site.send_lines("orders", &["--key", "b"], &lane(61, 90));
    site.send_lines("orders", &[], &lane(121, 0));
    let (worker, _) = site.until_empty();
    let taken = taken(&worker.log);
    let place = |n: u64| {
        let id = format!("orders/{n}");
        taken.iter().position(|t| *t == id).unwrap_or_else(|| panic!("{id} was not taken"))
    };
    assert_eq!(taken.len(), 180, "each once");
    for first in [1, 61] {
        let places: Vec<usize> = (first..first + 60).map(place).collect();
        assert!(places.is_sorted(), "lane from {first}: {places:?}");
    }
    assert!(place(89) < place(1), "lane b does not wait for lane a");
    assert!((121..=180).all(|n| place(n) < place(1)), "and what has no key waits for nobody");
}

#[test]
fn a_lane_goes_on_after_a_letter() {
    let site = orders(&[("retry", "initial_interval = \"10ms\"\nmax_attempts = 2")]);
    let bodies: Vec<String> = (1..=30).map(|n| order(n, if n % 10 == 5 { 9 } else { 0 })).collect();
    site.send_lines("orders", &["--key", "a"], &bodies);
    let (worker, _) = site.until_empty();
    let expected: Vec<String> = (1..=30).filter(|n| n % 10 != 5).map(|n| format!("orders/{n}")).collect();
    assert_eq!(taken(&worker.log), expected);
    assert_eq!(site.letters("orders").len(), 3);
}

#[test]
fn many_lanes_with_failures_all_keep_their_order() {
    let site = orders(&[("retry", "initial_interval = \"5ms\""), ("dedup", "key = \"json:/id\"")]);
    for lane in 0..12u64 {
        let bodies: Vec<String> =
            (0..150).map(|n| order(lane * 1_000 + n, u32::from((n * 7 + lane) % 13 == 0))).collect();
        site.send_lines("orders", &["--key", &format!("lane-{lane}")], &bodies);
    }
    let (worker, _) = site.until_empty();
    let mut next = [0u64; 12];
    for line in worker.log.lines().iter().filter(|l| l.says(" taken")) {
        let number: u64 =
            line.field("message").split(' ').nth(1).and_then(|n| n.parse().ok()).expect("its number");
        let (lane, n) = ((number / 1_000) as usize, number % 1_000);
        assert_eq!(n, next[lane], "lane {lane}");
        next[lane] += 1;
    }
    assert_eq!(next, [150; 12]);
}
