//! For the crash suite: kills the process at named points, or panics there.

use pelton_core::points;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which point, the how manieth time, and what happens then.
struct Crash {
    point: String,
    at: u64,
    seen: AtomicU64,
    panics: bool,
}

static CRASHES: OnceLock<Vec<Crash>> = OnceLock::new();

/// Reads `PELTON_CRASH_AT=point:n[,point:n]`, and `PELTON_PANIC_AT` alike, and arms the points.
pub fn arm() {
    let all: Vec<Crash> = [("PELTON_CRASH_AT", false), ("PELTON_PANIC_AT", true)]
        .iter()
        .flat_map(|(name, panics)| wanted(&std::env::var(name).unwrap_or_default(), *panics))
        .collect();
    if !all.is_empty() {
        CRASHES.get_or_init(|| all);
        points::on_reach(reached);
    }
}

fn wanted(text: &str, panics: bool) -> Vec<Crash> {
    let crash = |text: &str| {
        let (point, at) = text.split_once(':')?;
        Some(Crash { point: point.to_owned(), at: at.parse().ok()?, seen: AtomicU64::new(0), panics })
    };
    text.split(',').filter_map(crash).collect()
}

fn reached(name: &'static str) {
    for crash in CRASHES.get().into_iter().flatten().filter(|c| c.point == name) {
        if crash.seen.fetch_add(1, Ordering::Relaxed) + 1 == crash.at {
            assert!(!crash.panics, "a panic at the point {name}, \u{1b}[31mas the test\nwants it");
            let me = rustix::process::getpid();
            if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
                note!("crash points: the process cannot kill itself");
            }
        }
    }
}
