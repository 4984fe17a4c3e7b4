//! What was refused to handlers of state, of their outbox and of their database, for the operator: a limit, a
//! key or a message that is none, a place that is not granted, a statement that failed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Refusals to the handler of a pipeline, since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EffectCounts {
    /// Calls of state.
    pub state_refused: u64,
    /// Messages that a handler wanted to send.
    pub sends_refused: u64,
    /// Statements that were not run: of a database that is not granted, or such as no handler may run.
    pub sql_refused: u64,
    /// Statements that the database answered with an error.
    pub sql_failed: u64,
    /// Statements for which the database was away.
    pub sql_unavailable: u64,
    /// Statements whose result was too large.
    pub sql_too_large: u64,
}

/// What is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused {
    State,
    Sends,
    /// A statement, by the host.
    Statements,
    /// A statement, by the database.
    ByDatabase,
    /// A statement, since the database was away.
    NoDatabase,
    /// A result.
    Results,
}

/// Counts of a pipeline, over all versions of its handler.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    state: AtomicU64,
    sends: AtomicU64,
    statements: AtomicU64,
    by_database: AtomicU64,
    no_database: AtomicU64,
    results: AtomicU64,
}

/// By pipeline, for as long as it has a handler.
#[derive(Debug, Default)]
pub(crate) struct AllRefusals(Mutex<HashMap<String, Weak<Refusals>>>);

impl EffectCounts {
    /// All of them, by their names in `pelton status`.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("state_refused", self.state_refused),
            ("sends_refused", self.sends_refused),
            ("sql_refused", self.sql_refused),
            ("sql_failed", self.sql_failed),
            ("sql_unavailable", self.sql_unavailable),
            ("sql_too_large", self.sql_too_large),
        ]
    }
}

impl Refusals {
    pub(crate) fn count(&self, what: Refused) {
        let counter = match what {
            Refused::State => &self.state,
            Refused::Sends => &self.sends,
            Refused::Statements => &self.statements,
            Refused::ByDatabase => &self.by_database,
            Refused::NoDatabase => &self.no_database,
            Refused::Results => &self.results,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn now(&self) -> EffectCounts {
        EffectCounts {
            state_refused: self.state.load(Relaxed),
            sends_refused: self.sends.load(Relaxed),
            sql_refused: self.statements.load(Relaxed),
            sql_failed: self.by_database.load(Relaxed),
            sql_unavailable: self.no_database.load(Relaxed),
            sql_too_large: self.results.load(Relaxed),
        }
    }
}

impl AllRefusals {
    /// The counts of a pipeline: those of its handler before, while there is one.
    pub(crate) fn of(&self, pipeline: &str) -> Arc<Refusals> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(pipeline).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, one| one.strong_count() > 0);
        let new = Arc::default();
        all.insert(pipeline.to_owned(), Arc::downgrade(&new));
        new
    }

    /// What they are now.
    pub(crate) fn now(&self, pipeline: &str) -> EffectCounts {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(pipeline).and_then(Weak::upgrade).map(|counts| counts.now()).unwrap_or_default()
    }
}
