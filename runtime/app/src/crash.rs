//! For the crash suite: kills the process at named points, or panics there, or has a library panic.

use pelton_core::points;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which point, the how manieth time, and what happens then.
struct Crash {
    point: String,
    at: u64,
    seen: AtomicU64,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    Panic,
    /// In a task beside this one, outside of our code.
    LibraryPanic,
}

static CRASHES: OnceLock<Vec<Crash>> = OnceLock::new();

/// Reads `PELTON_CRASH_AT=point:n[,point:n]`, and the other two alike, and arms the points.
pub fn arm() {
    let ends = [
        ("PELTON_CRASH_AT", End::Kill),
        ("PELTON_PANIC_AT", End::Panic),
        ("PELTON_LIBRARY_PANIC_AT", End::LibraryPanic),
    ];
    let all: Vec<Crash> = ends
        .iter()
        .flat_map(|(name, end)| wanted(&std::env::var(name).unwrap_or_default(), *end))
        .collect();
    if !all.is_empty() {
        CRASHES.get_or_init(|| all);
        points::on_reach(reached);
    }
}

fn wanted(text: &str, end: End) -> Vec<Crash> {
    let crash = |text: &str| {
        let (point, at) = text.split_once(':')?;
        Some(Crash { point: point.to_owned(), at: at.parse().ok()?, seen: AtomicU64::new(0), end })
    };
    text.split(',').filter_map(crash).collect()
}

fn reached(name: &'static str) {
    for crash in CRASHES.get().into_iter().flatten().filter(|c| c.point == name) {
        if crash.seen.fetch_add(1, Ordering::Relaxed) + 1 == crash.at {
            if crash.end == End::LibraryPanic {
                return drop(tokio::spawn(async { "ab".repeat(usize::MAX) }));
            }
            assert!(crash.end == End::Kill, "a panic at the point {name}, \u{1b}[31mas the test\nwants it");
            let me = rustix::process::getpid();
            if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
                note!("crash points: the process cannot kill itself");
            }
        }
    }
}
