//! How often one thing is logged. Of libraries, warnings and errors only; and of each kind so many in a
//! while, ours too. The others are counted.
//!
//! Some of what libraries say is about what a guest does, as often as the guest likes; and what a broker
//! refuses it may refuse for each message. Whoever names a target in `PELTON_LOG` gets all of it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one kind, from one place of a library's code, in `WINDOW`.
const OF_LIBRARIES: u32 = 5;
/// Warnings and errors of one kind, from one place of our code and about one pipeline, in `WINDOW`.
const OF_OURS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// What our own events are called by.
const OURS: &str = "pelton";
/// Bounded where they are taken in, or asked for.
const BOUNDED: [&str; 2] = ["guest", super::outcomes::TARGET];

/// Lines that were not written.
static DROPPED_OF_LIBRARIES: AtomicU64 = AtomicU64::new(0);
static DROPPED_OF_OURS: AtomicU64 = AtomicU64::new(0);
/// All of them, since the process began.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lets through what is said for the first time, and what is asked for by name.
pub struct Throttle {
    /// Targets that `PELTON_LOG` names.
    named: Vec<String>,
    hashes: RandomState,
    kinds: Mutex<HashMap<Kind, Window>>,
}

/// A place in the code, and the pipeline that it speaks of.
type Kind = (Identifier, u64);

struct Window {
    begun: Instant,
    lines: u32,
}

/// Whose lines they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Library,
    Ours,
}

impl Speaker {
    fn lines(self) -> u32 {
        match self {
            Self::Library => OF_LIBRARIES,
            Self::Ours => OF_OURS,
        }
    }

    fn dropped(self) -> &'static AtomicU64 {
        match self {
            Self::Library => &DROPPED_OF_LIBRARIES,
            Self::Ours => &DROPPED_OF_OURS,
        }
    }
}

impl Throttle {
    /// With what `PELTON_LOG` says, as in `info,rdkafka=debug`.
    pub fn new(levels: &str) -> Self {
        let named = levels.split(',').filter_map(|one| one.split_once('=')).map(|(name, _)| name);
        let named = named.map(|name| name.split('[').next().unwrap_or_default().trim().to_owned());
        let named = named.filter(|name| !name.is_empty()).collect();
        Self { named, hashes: RandomState::new(), kinds: Mutex::default() }
    }

    /// Whose it is, where it is bounded here.
    fn speaker(&self, target: &str) -> Option<Speaker> {
        let is_named = self.named.iter().any(|name| target.starts_with(name.as_str()));
        if is_named || BOUNDED.iter().any(|bounded| target.starts_with(bounded)) {
            return None;
        }
        Some(if target.starts_with(OURS) { Speaker::Ours } else { Speaker::Library })
    }

    fn kind(&self, event: &Event<'_>) -> Kind {
        let mut pipeline = OfPipeline(self.hashes.build_hasher());
        event.record(&mut pipeline);
        (event.metadata().callsite(), pipeline.0.finish())
    }

    fn admit(&self, speaker: Speaker, kind: Kind, now: Instant) -> bool {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let window = kinds.entry(kind).or_insert(Window { begun: now, lines: 0 });
        if now.duration_since(window.begun) >= WINDOW {
            *window = Window { begun: now, lines: 0 };
        }
        window.lines = window.lines.saturating_add(1);
        window.lines <= speaker.lines()
    }
}

/// Takes the pipeline's name out of the fields of an event.
struct OfPipeline<H>(H);

impl<H: Hasher> Visit for OfPipeline<H> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "pipeline" {
            value.hash(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "pipeline" {
            format!("{value:?}").hash(&mut self.0);
        }
    }
}

impl<S: Subscriber> Layer<S> for Throttle {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN || self.speaker(metadata.target()) != Some(Speaker::Library)
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let Some(speaker) = self.speaker(metadata.target()) else { return true };
        // What goes as it should is said as often as it goes.
        if speaker == Speaker::Ours && *metadata.level() > Level::WARN {
            return true;
        }
        let admitted = self.admit(speaker, self.kind(event), Instant::now());
        if !admitted {
            speaker.dropped().fetch_add(1, Relaxed);
            DROPPED.fetch_add(1, Relaxed);
        }
        admitted
    }
}

/// How many lines were not written, since the process began.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Says how many lines were dropped, from time to time, until it is aborted.
pub async fn report_regularly() {
    loop {
        tokio::time::sleep(WINDOW).await;
        report();
    }
}

/// Says it now, if there were any.
pub fn report() {
    let [of_libraries, of_ours] =
        [Speaker::Library, Speaker::Ours].map(|speaker| speaker.dropped().swap(0, Relaxed));
    if of_libraries > 0 {
        tracing::warn!(
            "{of_libraries} lines of libraries were not written: of each kind at most {OF_LIBRARIES} in \
             {WINDOW:?} are; name a library in PELTON_LOG to see all of it"
        );
    }
    if of_ours > 0 {
        tracing::warn!(
            "{of_ours} warnings and errors were not written: of each kind and pipeline at most {OF_OURS} in \
             {WINDOW:?} are; PELTON_LOG=info,pelton=info shows all of them"
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
        let all = tracing_subscriber::registry().with(Count(seen.clone())).with(Throttle::new(levels));
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
        assert_eq!(written("info", flood), u64::from(OF_LIBRARIES));
        assert_eq!(written("debug,wasmtime_wasi=info", flood), 2_000);
        let ours = || (0..100).for_each(|_| tracing::debug!(target: "pelton_host::load", "ours"));
        assert_eq!(written("", ours), 100);
    }

    #[test]
    fn ours_says_a_thing_so_often_of_each_pipeline_and_what_goes_well_always() {
        let flood = || {
            for number in 0..100 {
                let (one, other) = ("one", "other");
                for pipeline in [one, other] {
                    tracing::warn!(target: "pelton_broker_kafka::letters", pipeline, number, "refused");
                    tracing::info!(target: "pelton_broker_kafka::context", pipeline, number, "assigned");
                }
            }
        };
        assert_eq!(written("", flood), 200 + 2 * u64::from(OF_OURS));
        assert_eq!(written("info,pelton=info", flood), 400);
    }

    #[test]
    fn another_window_is_another_chance() {
        let all = Throttle::new("");
        let kind = tracing::callsite!(name: "x", kind: tracing::metadata::Kind::EVENT, fields: a);
        let kind = || tracing::callsite::Callsite::metadata(kind).callsite();
        let now = Instant::now();
        let admitted = (0..20).filter(|_| all.admit(Speaker::Library, (kind(), 0), now)).count();
        assert_eq!(admitted, OF_LIBRARIES as usize);
        assert!(all.admit(Speaker::Library, (kind(), 0), now + WINDOW));
    }
}
