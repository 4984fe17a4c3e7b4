//! What libraries log: warnings and errors only, and of each kind so many; the others are counted.
//!
//! Some of it is about what a guest does, as often as the guest likes, so it is no part of what a worker
//! may say without a bound. Whoever names a library in `PELTON_LOG` gets all of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one kind, from one place of a library's code, in `WINDOW`.
const LINES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// What our own events are called by; `guest` is bounded where it is taken in.
const OURS: [&str; 3] = ["pelton", "guest", super::outcomes::TARGET];

/// Lines that were not written, of all libraries.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lets our own events through, and of the others what is meant.
pub struct Libraries {
    /// Targets that `PELTON_LOG` names.
    named: Vec<String>,
    kinds: Mutex<HashMap<Identifier, Window>>,
}

struct Window {
    begun: Instant,
    lines: u32,
}

impl Libraries {
    /// With what `PELTON_LOG` says, as in `info,rdkafka=debug`.
    pub fn new(levels: &str) -> Self {
        let named = levels.split(',').filter_map(|one| one.split_once('=')).map(|(name, _)| name);
        let named = named.map(|name| name.split('[').next().unwrap_or_default().trim().to_owned());
        Self { named: named.filter(|name| !name.is_empty()).collect(), kinds: Mutex::default() }
    }

    /// Not one of a library, or of one that is asked for by name.
    fn is_meant(&self, target: &str) -> bool {
        OURS.iter().any(|ours| target.starts_with(ours))
            || self.named.iter().any(|name| target.starts_with(name.as_str()))
    }

    fn admit(&self, kind: Identifier, now: Instant) -> bool {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let window = kinds.entry(kind).or_insert(Window { begun: now, lines: 0 });
        if now.duration_since(window.begun) >= WINDOW {
            *window = Window { begun: now, lines: 0 };
        }
        window.lines = window.lines.saturating_add(1);
        window.lines <= LINES
    }
}

impl<S: Subscriber> Layer<S> for Libraries {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN || self.is_meant(metadata.target())
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let admitted = self.is_meant(metadata.target()) || self.admit(metadata.callsite(), Instant::now());
        if !admitted {
            DROPPED.fetch_add(1, Relaxed);
        }
        admitted
    }
}

/// Says how many lines were dropped, from time to time, until it is aborted.
pub async fn tell() {
    loop {
        tokio::time::sleep(WINDOW).await;
        say();
    }
}

/// Says it now, if there were any.
pub fn say() {
    let dropped = DROPPED.swap(0, Relaxed);
    if dropped > 0 {
        tracing::warn!(
            "{dropped} lines of libraries were not written: of each kind at most {LINES} in {WINDOW:?} \
             are; name a library in PELTON_LOG to see all of it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    /// Counts what gets through.
    struct Count(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn written(levels: &str, log: impl Fn()) -> u64 {
        let seen = Arc::new(AtomicU64::new(0));
        let all = tracing_subscriber::registry().with(Count(seen.clone())).with(Libraries::new(levels));
        tracing::subscriber::with_default(all, log);
        seen.load(Relaxed)
    }

    #[test]
    fn a_library_says_what_matters_and_not_without_end() {
        let flood = || {
            for _ in 0..1_000 {
                tracing::warn!(target: "wasmtime_wasi::p1", "not implemented");
                tracing::info!(target: "wasmtime_wasi::p1", "a call");
            }
        };
        assert_eq!(written("info", flood), u64::from(LINES));
        assert_eq!(written("debug,wasmtime_wasi=info", flood), 2_000);
        let ours = || (0..100).for_each(|_| tracing::debug!(target: "pelton_host::load", "ours"));
        assert_eq!(written("", ours), 100);
    }

    #[test]
    fn another_window_is_another_chance() {
        let all = Libraries::new("");
        let kind = tracing::callsite!(name: "x", kind: tracing::metadata::Kind::EVENT, fields: a);
        let kind = || tracing::callsite::Callsite::metadata(kind).callsite();
        let now = Instant::now();
        let admitted = (0..20).filter(|_| all.admit(kind(), now)).count();
        assert_eq!(admitted, LINES as usize);
        assert!(all.admit(kind(), now + WINDOW));
    }
}
