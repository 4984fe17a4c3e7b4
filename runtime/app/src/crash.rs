//! For the crash suite: kills the process at named points.

use pelton_core::points;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which point, and the how manieth time.
struct Crash {
    point: String,
    at: u64,
    seen: AtomicU64,
}

static CRASHES: OnceLock<Vec<Crash>> = OnceLock::new();

/// Reads `PELTON_CRASH_AT=point:n[,point:n]` and arms the points.
pub fn arm() {
    let Ok(wanted) = std::env::var("PELTON_CRASH_AT") else { return };
    let crash = |text: &str| {
        let (point, at) = text.split_once(':')?;
        Some(Crash { point: point.to_owned(), at: at.parse().ok()?, seen: AtomicU64::new(0) })
    };
    CRASHES.get_or_init(|| wanted.split(',').filter_map(crash).collect());
    points::on_reach(reached);
}

fn reached(name: &'static str) {
    for crash in CRASHES.get().into_iter().flatten().filter(|c| c.point == name) {
        if crash.seen.fetch_add(1, Ordering::Relaxed) + 1 == crash.at {
            let me = rustix::process::getpid();
            if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
                eprintln!("crash points: the process cannot kill itself");
            }
        }
    }
}
