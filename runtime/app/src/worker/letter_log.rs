//! Dead letters in the worker's log: of each pipeline and cause one line now and then, with how many more
//! there were.

use pelton_core::ports::{BoxFuture, Counted, DeadLetters, ErrorClass};
use pelton_core::shown::shown;
use pelton_core::trace::{self, SpanContext};
use pelton_core::{Cause, Letter, Panicked};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of one cause.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of a reason that are logged.
const REASON_BYTES: usize = 300;

/// Writes letters, and logs those that are written.
pub struct LoggedLetters {
    letters: Arc<dyn DeadLetters>,
    pipeline: String,
    causes: Mutex<BTreeMap<&'static str, Throttle>>,
}

/// Of one cause.
#[derive(Debug, Default)]
struct Throttle {
    logged: Option<Instant>,
    /// Letters since then.
    more: u64,
}

impl Throttle {
    fn is_due(&self, now: Instant) -> bool {
        self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_INTERVAL)
    }

    /// A letter is written: how many were not logged before it, if it is to be logged.
    fn log(&mut self, now: Instant) -> Option<u64> {
        if !self.is_due(now) {
            self.more = self.more.saturating_add(1);
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.more))
    }
}

/// What a line says of a letter.
struct Line {
    message_id: String,
    failure: &'static str,
    attempts: u32,
    /// The first line of it.
    reason: String,
    /// Where it stands in a trace that is recorded.
    trace: Option<SpanContext>,
}

impl Line {
    fn of(letter: &Letter) -> Self {
        let reason = letter.reason.lines().next().unwrap_or_default();
        Self {
            message_id: letter.message.id().to_string(),
            failure: letter.failure.as_str(),
            attempts: letter.attempts,
            reason: shown(reason).at_most(REASON_BYTES).to_string(),
            trace: trace::of_headers(letter.message.headers()).filter(|trace| trace.sampled),
        }
    }
}

impl LoggedLetters {
    pub fn new(letters: Arc<dyn DeadLetters>, pipeline: &str) -> Self {
        Self { letters, pipeline: pipeline.to_owned(), causes: Mutex::default() }
    }

    fn causes(&self) -> MutexGuard<'_, BTreeMap<&'static str, Throttle>> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What would be logged of it, if that is due.
    fn line(&self, letter: &Letter) -> Option<Line> {
        let causes = self.causes();
        let throttle = causes.get(letter.cause.as_str());
        throttle.is_none_or(|throttle| throttle.is_due(Instant::now())).then(|| Line::of(letter))
    }

    fn written(&self, cause: Cause, line: Option<Line>) {
        let cause = cause.as_str();
        let more = self.causes().entry(cause).or_default().log(Instant::now());
        let (Some(Line { message_id, failure, attempts, reason, trace }), Some(more)) = (line, more) else {
            return;
        };
        let pipeline = self.pipeline.as_str();
        let more = (more > 0).then(|| format!("; {more} more of this cause since the last such line"));
        tracing::warn!(
            pipeline,
            message_id,
            cause,
            failure,
            attempts,
            reason,
            trace_id = trace.map(|trace| tracing::field::display(trace.trace)),
            span_id = trace.map(|trace| tracing::field::display(trace.span)),
            "a message is a dead letter{}",
            more.unwrap_or_default()
        );
    }
}

impl DeadLetters for LoggedLetters {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let mut lines = Vec::with_capacity(batch.len());
        for letter in &batch {
            // Of a batch the first of each cause is the one that may be logged.
            let first = !lines.iter().any(|(cause, _)| *cause == letter.cause);
            lines.push((letter.cause, if first { self.line(letter) } else { None }));
        }
        Box::pin(async move {
            let results = self.letters.publish(batch).await;
            for ((cause, line), _) in lines.into_iter().zip(&results).filter(|(_, result)| result.is_ok()) {
                self.written(cause, line);
            }
            results
        })
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.letters.panicked()
    }

    fn counted(&self) -> Counted {
        self.letters.counted()
    }

    fn trouble(&self) -> Option<String> {
        self.letters.trouble()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_logged_with_how_many_were_not() {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        let all = [0, 1, 9, 10, 11, 30].map(|s| throttle.log(begin + Duration::from_secs(s)));
        assert_eq!(all, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
