//! Many in flight: what concerns all of them costs each of them the same. Counted, not timed: how often a
//! delivery is looked at.

use super::group::{Group, P};

/// Each delivery is looked at so often, from its receipt to its end, whatever else is held.
const LOOKS: u64 = 60;

/// So many in so many lanes: some long, most short.
fn full(many: u64, lanes: u64) -> Group {
    let mut group = Group::within(many as usize, many as usize);
    let all: Vec<(u64, u64)> = (0..many).map(|n| (n, n % lanes)).collect();
    group.receive(1, &all);
    group
}

type Leave = fn(&mut Group);
const WAYS: [Leave; 3] = [Group::drain, |group| group.revoke(1, false), |group| group.revoke(1, true)];

fn few_looks(group: &Group, many: u64, what: &str) {
    let looks = group.visits();
    assert!(looks <= LOOKS * many, "{what}: {looks} looks at {many}, {} at each", looks / many);
}

#[test]
fn leaving_costs_no_more_for_each_the_more_there_are() {
    for many in [1_000, 10_000, 50_000] {
        for (lanes, leave) in [1, 300, many].into_iter().flat_map(|lanes| WAYS.map(|leave| (lanes, leave)))
        {
            let mut group = full(many, lanes);
            // Something behind others is done, so that what lies before it is finished first.
            if let Some(last) = group.running().last().copied().filter(|_| lanes > 1) {
                group.succeeds(&[last]);
            }
            leave(&mut group);
            while let Some(next) = group.running().first().copied() {
                group.fails(next, 60_000);
            }
            assert!(group.is_idle(), "{lanes} lanes");
            few_looks(&group, many, "leaving");
        }
    }
}

/// Each that fails lowers the limit of what is still started: nothing may be looked at again for that.
#[test]
fn a_limit_that_falls_step_by_step_looks_at_nothing_twice() {
    for many in [1_000, 10_000, 50_000] {
        for leave in [Group::drain as Leave, |group| group.revoke(1, false)] {
            let mut group = full(many, many);
            // One of them is done, so that those before it are still to be.
            let done = group.running().last().copied().expect("some run");
            group.succeeds(&[done]);
            leave(&mut group);
            while let Some(last) = group.running().last().copied() {
                group.fails(last, 60_000);
            }
            assert!(group.is_idle());
            few_looks(&group, many, "a limit that falls");
        }
    }
}

#[test]
fn what_waits_for_one_key_is_not_looked_at_again_for_each_that_has_it() {
    for many in [1_000, 10_000, 50_000] {
        let mut group = Group::within(many as usize, many as usize);
        group.receive_with_one_key(many);
        for n in 0..many {
            assert_eq!(group.running(), [n]);
            group.rejects(n);
        }
        assert!(group.is_idle());
        few_looks(&group, many, "one key");
    }
}

#[test]
fn leases_that_end_together_cost_no_more_for_each() {
    for many in [1_000, 10_000, 50_000] {
        for lanes in [1, 300, many] {
            let looks = super::leases::all_leases_end(many, lanes);
            assert!(looks <= LOOKS * many, "{looks} looks at {many} in {lanes} lanes");
        }
    }
}

#[test]
fn a_new_assignment_of_each_partition_looks_at_nothing_that_is_not_its_own() {
    let mut group = full(10_000, 10_000);
    let before = group.visits();
    for assignment in 2..12 {
        for partition in P + 1..P + 50 {
            group.receive_of(partition, assignment, &[(u64::from(assignment), 1)]);
        }
    }
    let looks = group.visits() - before;
    assert!(looks < 500 * LOOKS, "{looks} looks for 490 records");
}
