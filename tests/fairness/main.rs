//! Two pipelines in one process: one full of guests that spin, sleep, grow and flood, the other must
//! keep three quarters of its throughput. A suite of its own, since the others would take part in it.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Enough for seconds, so that the start counts for little.
const GOOD: u64 = 150_000;
/// At most, when the machine does other things meanwhile.
const ROUNDS: usize = 8;

/// One test at a time: what they measure is the machine's.
static ALONE: Mutex<()> = Mutex::new(());

fn site() -> Site {
    let bad = Pipeline::new("bad", plugin("chaos"))
        .with("handler", "timeout = \"1s\"\nmemory = \"64MiB\"\nconcurrency = 4")
        .with("retry", "max_attempts = 100\ninitial_interval = \"10ms\"");
    Site::with("shutdown_timeout = \"1s\"", &[bad, Pipeline::new("good", plugin("chaos"))])
}

/// Messages a second of the good pipeline, in a worker of its own run.
fn rate(hostile: bool) -> f64 {
    let site = site();
    if hostile {
        for what in ["spin", "sleep", "grow", "flood"] {
            site.send_lines("bad", &[], &vec![format!("{{\"do\": \"{what}\"}}"); 10]);
        }
    }
    site.send_lines("good", &[], &vec![r#"{"do": "ok"}"#.to_owned(); GOOD as usize]);
    let worker = site.worker().ready();
    let started = Instant::now();
    until("all are handled", || (site.status("good").handled == GOOD).then_some(()));
    let took = started.elapsed();
    if hostile {
        assert!(site.status("bad").left() == 40, "the neighbours were there all the time");
    }
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    GOOD as f64 / took.as_secs_f64()
}

#[test]
fn hostile_neighbours_leave_a_pipeline_three_quarters_of_its_throughput() {
    let _alone = ALONE.lock();
    let mut shares = Vec::new();
    for round in 1..=ROUNDS {
        // Pairs, one right after the other: a machine that changes its pace changes it for both.
        let (alone, beside) = (rate(false), rate(true));
        shares.push(beside / alone);
        eprintln!("{round}: alone {alone:.0}, beside hostile ones {beside:.0} messages a second");
        if round >= 3 && median(&shares) >= 0.75 {
            return;
        }
    }
    panic!("shares kept: {shares:.2?}");
}

fn median(shares: &[f64]) -> f64 {
    let mut sorted = shares.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[test]
fn a_message_is_handled_soon_while_a_neighbour_spins_on_every_thread() {
    let _alone = ALONE.lock();
    let site = site();
    site.send_lines("bad", &[], &vec![r#"{"do": "spin"}"#.to_owned(); 40]);
    let worker = site.worker().ready();
    until("the neighbours are at it", || (site.status("bad").in_flight >= 4).then_some(()));
    let mut waits = Vec::new();
    for handled in 1..=9 {
        site.done(&["send", "good", "--body", r#"{"do": "ok"}"#]);
        let sent = Instant::now();
        until("it is handled", || (site.status("good").handled == handled).then_some(()));
        waits.push(sent.elapsed());
    }
    waits.sort_unstable();
    assert!(waits[4] < Duration::from_millis(500), "{waits:?}");
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
}
