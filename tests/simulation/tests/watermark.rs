//! The watermark of a partition against a plain set of what is settled.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::unwrap_used, missing_docs)]

use pelton_core::Receipt;
use pelton_core::retry::scatter;
use pelton_core::watermark::Watermark;
use std::collections::BTreeSet;

/// What a partition with gaps brings, settled in any order, some of it received twice.
fn run(seed: u64) {
    let mut draws = 0;
    let mut below = |end: u64| {
        draws += 1;
        scatter(seed, draws) % end
    };
    let mut mark = Watermark::default();
    let (mut received, mut settled) = (BTreeSet::new(), BTreeSet::new());
    let (mut next, mut passed) = (below(5), None);
    for _ in 0..200 {
        let open: Vec<u64> = received.difference(&settled).copied().collect();
        if open.is_empty() || below(2) == 0 {
            next += 1 + if below(4) == 0 { below(6) } else { 0 };
            received.insert(next);
            mark.received(next, Receipt(next), ());
        } else {
            let offset = open[below(open.len() as u64) as usize];
            settled.insert(offset);
            if let Some((_, receipt)) = mark.settled(offset) {
                assert!(passed < Some(receipt.0), "seed {seed}: it went from {passed:?} to {receipt:?}");
                passed = Some(receipt.0);
            }
        }
        let first_open = received.difference(&settled).next().copied();
        let last_before = settled.iter().copied().rfind(|s| first_open.is_none_or(|open| *s < open));
        assert_eq!(passed, last_before, "seed {seed}: {received:?} were received, {settled:?} settled");
        assert_eq!(mark.first(), first_open, "seed {seed}");
        let ahead = settled.iter().copied().rfind(|s| first_open.is_some_and(|open| *s > open));
        assert_eq!(mark.last_settled(), ahead, "seed {seed}");
    }
}

#[test]
fn it_is_the_last_that_is_settled_with_all_that_was_received_before_it() {
    (0..2_000).for_each(run);
}
