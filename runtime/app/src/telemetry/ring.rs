//! The last lines of the log, and those to come, for who asks the worker: `pelton logs`, and the API.
//!
//! One ring for the process, with bounds: what is in it costs no pipeline anything, and who reads too slowly
//! loses lines, which are counted.

use super::time::now_ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept, at most, and their bytes.
const LINES: usize = 2_000;
const BYTES: usize = 1 << 20;
/// Bytes of one text of a line, at most.
const TEXT_BYTES: usize = 4 << 10;
/// Lines that one reader may be behind.
const BEHIND: usize = 1_024;

/// The ring of this process.
static RING: LazyLock<LogRing> = LazyLock::new(LogRing::new);

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts up in this worker: where some are missing, some were lost.
    pub number: u64,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// Who says it: `guest` is a handler.
    pub target: String,
    pub pipeline: Option<String>,
    pub message: String,
    /// What else it says, by name.
    pub fields: BTreeMap<String, Value>,
}

impl LogLine {
    fn bytes(&self) -> usize {
        let value = |value: &Value| value.as_str().map_or(8, str::len);
        let fields: usize = self.fields.iter().map(|(name, is)| name.len() + value(is)).sum();
        self.message.len() + self.target.len() + fields
    }
}

/// The last lines, and who waits for the next.
pub struct LogRing {
    kept: Mutex<KeptLines>,
    next: broadcast::Sender<Arc<LogLine>>,
}

#[derive(Default)]
struct KeptLines {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    /// Of the line to come.
    number: u64,
}

impl LogRing {
    fn new() -> Self {
        Self { kept: Mutex::default(), next: broadcast::channel(BEHIND).0 }
    }

    /// The one of this process.
    pub fn of_process() -> &'static Self {
        &RING
    }

    fn kept(&self) -> MutexGuard<'_, KeptLines> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most so many of the last lines that are as wanted, the oldest first; and what comes behind them.
    pub fn read(
        &self,
        most: usize,
        wanted: impl Fn(&LogLine) -> bool,
    ) -> (Vec<Arc<LogLine>>, broadcast::Receiver<Arc<LogLine>>) {
        let kept = self.kept();
        let mut last: Vec<_> =
            kept.lines.iter().rev().filter(|line| wanted(line)).take(most).cloned().collect();
        last.reverse();
        (last, self.next.subscribe())
    }

    fn take(&self, line: LogLine) {
        let mut kept = self.kept();
        let line = Arc::new(LogLine { number: kept.number, ..line });
        kept.number += 1;
        kept.bytes += line.bytes();
        kept.lines.push_back(line.clone());
        while kept.lines.len() > LINES || kept.bytes > BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.bytes();
        }
        // Nobody may listen. In the order of the numbers, so before the next is taken.
        drop(self.next.send(line));
    }
}

/// Puts every event into the ring that the log has.
pub struct IntoRing;

impl<S: Subscriber> Layer<S> for IntoRing {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        let meta = event.metadata();
        LogRing::of_process().take(LogLine {
            number: 0,
            at_ms: now_ms(),
            level: meta.level().to_string(),
            target: meta.target().to_owned(),
            pipeline: seen.pipeline,
            message: seen.message,
            fields: seen.fields,
        });
    }
}

/// What an event says.
#[derive(Default)]
struct Seen {
    message: String,
    pipeline: Option<String>,
    fields: BTreeMap<String, Value>,
}

impl Seen {
    fn text(&mut self, field: &Field, mut text: String) {
        if text.len() > TEXT_BYTES {
            let more = text.len() - text.floor_char_boundary(TEXT_BYTES);
            text.truncate(text.floor_char_boundary(TEXT_BYTES));
            text.push_str(&format!("... ({more} bytes more)"));
        }
        match field.name() {
            "message" => self.message = text,
            "pipeline" => self.pipeline = Some(text),
            name => drop(self.fields.insert(name.to_owned(), text.into())),
        }
    }

    fn value(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::sync::broadcast::error::TryRecvError;
    use tracing_subscriber::layer::SubscriberExt;

    fn line(message: &str) -> LogLine {
        LogLine {
            number: 0,
            at_ms: 1,
            level: "INFO".to_owned(),
            target: "guest".to_owned(),
            pipeline: Some("orders".to_owned()),
            message: message.to_owned(),
            fields: BTreeMap::new(),
        }
    }

    #[test]
    fn the_last_lines_are_kept_within_bounds_and_who_is_slow_hears_how_many_it_lost() {
        let ring = LogRing::new();
        let (_, mut next) = ring.read(0, |_| true);
        (0..5_000).for_each(|number| ring.take(line(&number.to_string())));
        assert_eq!(ring.kept().lines.len(), LINES);
        let (last, _) = ring.read(3, |line| line.message.ends_with('7'));
        let last: Vec<&str> = last.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(last, ["4977", "4987", "4997"]);
        assert!(
            matches!(next.try_recv(), Err(TryRecvError::Lagged(lost)) if lost as usize == 5_000 - BEHIND)
        );
        assert_eq!(next.try_recv().unwrap().number as usize, 5_000 - BEHIND);
        (0..1_000).for_each(|_| ring.take(line(&"x".repeat(TEXT_BYTES))));
        let kept = ring.kept();
        let bytes: usize = kept.lines.iter().map(|line| line.bytes()).sum();
        assert!(kept.bytes == bytes && bytes <= BYTES, "{bytes}");
    }

    #[test]
    fn an_event_is_taken_with_its_fields() {
        let all = tracing_subscriber::registry().with(IntoRing);
        tracing::subscriber::with_default(all, || {
            let long = "é".repeat(TEXT_BYTES);
            tracing::warn!(pipeline = "ring-test", number = 7, ok = true, long, "it is {}", "so");
        });
        let (lines, _) =
            LogRing::of_process().read(9, |line| line.pipeline.as_deref() == Some("ring-test"));
        let line = &lines[0];
        assert_eq!((line.level.as_str(), line.message.as_str()), ("WARN", "it is so"));
        assert_eq!((&line.fields["number"], &line.fields["ok"]), (&7.into(), &true.into()));
        assert!(line.fields["long"].as_str().unwrap().ends_with("bytes more)"));
    }
}
