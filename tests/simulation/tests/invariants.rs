//! Ten thousand schedules, and the proof that the checker can fail.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::unwrap_used, missing_docs)]

use pelton_simulation::{Mutant, run};

/// Seeds that once found something.
const REGRESSIONS: &[u64] =
    &[6, 20, 29, 43, 71, 79, 84, 85, 108, 298, 1_911, 5_556, 12_884, 18_338, 50_529];

fn check(seed: u64) {
    let found = run(seed, None, false);
    let line = format!("PELTON_SIM_SEED={seed} cargo test -p pelton-simulation -- replay --nocapture");
    assert!(found.is_empty(), "seed {seed} breaks an invariant: {found:#?}\nreplay it with\n  {line}\n");
}

#[test]
fn the_nine_invariants_hold_on_every_schedule() {
    REGRESSIONS.iter().copied().for_each(check);
    let count = std::env::var("PELTON_SIM_SCHEDULES").map_or(10_000, |n| n.parse().unwrap());
    (1..=count).for_each(check);
}

#[test]
fn replay() {
    let Ok(seed) = std::env::var("PELTON_SIM_SEED") else { return };
    let found = run(seed.parse().unwrap(), None, true);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_broken_core_is_caught_by_the_invariant_it_breaks() {
    let each = (1u8..).zip(Mutant::ALL).chain((11u8..).zip(Mutant::MORE));
    for (invariant, mutant) in each {
        let caught = (1..2_000)
            .find(|seed| run(*seed, Some(mutant), false).iter().any(|v| v.invariant == invariant));
        assert!(caught.is_some(), "{mutant:?} is never caught by invariant {invariant}");
    }
}
