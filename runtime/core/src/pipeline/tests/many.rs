//! A hundred thousand in flight: what concerns all of them costs each of them the same.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test may look at the clock")]

use super::group::{Group, P};
use std::time::{Duration, Instant};

const MANY: u64 = 100_000;
/// It takes tenths of a second. What looks at all of them for each of them takes minutes.
const BOUND: Duration = Duration::from_secs(20);

/// So many lanes: some long, most short.
fn full(lanes: u64) -> Group {
    let mut group = Group::within(MANY as usize, MANY as usize);
    let all: Vec<(u64, u64)> = (0..MANY).map(|n| (n, n % lanes)).collect();
    group.receive(1, &all);
    group
}

#[test]
fn leaving_costs_no_more_for_each_the_more_there_are() {
    let since = Instant::now();
    for lanes in [1, 300, MANY] {
        for leave in
            [Group::drain as fn(&mut Group), |group| group.revoke(1, false), |group| group.revoke(1, true)]
        {
            let mut group = full(lanes);
            // Something behind others is done, so that what lies before it is finished first.
            if let Some(last) = group.running().last().copied().filter(|_| lanes > 1) {
                group.succeeds(&[last]);
            }
            leave(&mut group);
            while let Some(next) = group.running().first().copied() {
                group.fails(next, 60_000);
            }
            assert!(group.is_idle(), "{lanes} lanes");
        }
    }
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
}

#[test]
fn a_new_assignment_of_each_partition_looks_at_nothing_that_is_not_its_own() {
    let since = Instant::now();
    let mut group = full(MANY);
    for assignment in 2..12 {
        for partition in P + 1..P + 50 {
            group.receive_of(partition, assignment, &[(u64::from(assignment), 1)]);
        }
    }
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
}
