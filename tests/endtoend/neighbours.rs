//! Two pipelines in one process: one full of guests that spin, sleep, grow and flood, the other must
//! keep three quarters of its throughput.

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::time::{Duration, Instant};

const GOOD: u64 = 12_000;
const ROUNDS: usize = 3;

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
    let worker = site.worker().ready();
    if hostile {
        until("the neighbours are at it", || (site.status("bad").in_flight >= 4).then_some(()));
    }
    let sending = Instant::now();
    site.send_lines("good", &[], &vec![r#"{"do": "ok"}"#.to_owned(); GOOD as usize]);
    until("all are handled", || (site.status("good").handled == GOOD).then_some(()));
    let took = sending.elapsed();
    if hostile {
        assert!(site.status("bad").left() == 40, "the neighbours were there all the time");
    }
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.wait().code, Some(0));
    GOOD as f64 / took.as_secs_f64()
}

#[test]
fn hostile_neighbours_leave_a_pipeline_three_quarters_of_its_throughput() {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(rate(false));
        beside.push(rate(true));
    }
    // The best of each: what the machine does besides only ever takes away.
    let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let ratio = best(&beside) / best(&alone);
    eprintln!("alone {alone:.0?}, beside hostile ones {beside:.0?} messages a second: {ratio:.2}");
    assert!(ratio >= 0.75, "alone {alone:.0?}, beside hostile ones {beside:.0?}");
}

#[test]
fn a_message_is_handled_soon_while_a_neighbour_spins_on_every_thread() {
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
