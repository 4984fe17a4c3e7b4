//! Schedules of a fleet with one ledger, and the proof that its books can fail.

#![allow(clippy::unwrap_used, missing_docs)]

use pelton_simulation::fleet::{FleetMutant, run};

/// Seeds that once found something.
const REGRESSIONS: &[u64] = &[103, 6_539, 7_327];

fn check(seed: u64) {
    let found = run(seed, None, false);
    let line = format!(
        "PELTON_SIM_SEED={seed} cargo test -p pelton-simulation --test fleet -- replay --nocapture"
    );
    assert!(found.is_empty(), "seed {seed} breaks a rule: {found:#?}\nreplay it with\n  {line}\n");
}

#[test]
fn each_effect_is_once_and_nothing_is_lost_on_every_schedule_of_a_fleet() {
    REGRESSIONS.iter().copied().for_each(check);
    let count = std::env::var("PELTON_SIM_FLEETS").map_or(4_000, |n| n.parse().unwrap());
    (1..=count).for_each(check);
}

#[test]
fn replay() {
    let Ok(seed) = std::env::var("PELTON_SIM_SEED") else { return };
    let found = run(seed.parse().unwrap(), None, true);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_broken_ledger_is_caught_by_the_rule_it_breaks() {
    for (rule, mutant) in FleetMutant::ALL {
        let caught =
            (1..2_000).find(|seed| run(*seed, Some(mutant), false).iter().any(|v| v.invariant == rule));
        assert!(caught.is_some(), "{mutant:?} is never caught by rule {rule}");
    }
}
