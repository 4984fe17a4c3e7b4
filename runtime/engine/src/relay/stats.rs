//! How a target stands, for people and programs that ask.

use super::Outlet;
use pelton_core::effects::{Backlog, OutboxHome};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two reports of the same.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// One target of a pipeline's outbox, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutletStatus {
    /// Its name, as handlers use it.
    pub name: Arc<str>,
    /// Where it is, for people.
    pub place: String,
    /// What waits for it.
    pub backlog: Backlog,
    /// How many messages it has taken since the worker started.
    pub sent: u64,
    /// How many it has refused for good.
    pub refused: u64,
    /// Why it takes nothing now, in words.
    pub trouble: Option<String>,
}

/// Written by a relay, read by anyone.
pub struct OutletStats {
    outlet: Outlet,
    home: Arc<dyn OutboxHome>,
    sent: AtomicU64,
    refused: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
    /// When it was said last that some of its messages wait, and others do not.
    said: Mutex<Option<Instant>>,
}

struct Trouble {
    words: String,
    since: Instant,
    said: Instant,
}

impl OutletStats {
    pub fn new(outlet: &Outlet, home: Arc<dyn OutboxHome>) -> Self {
        Self {
            outlet: outlet.clone(),
            home,
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            trouble: Mutex::new(None),
            said: Mutex::new(None),
        }
    }

    pub fn backlog(&self) -> Backlog {
        self.home.backlog(self.outlet.target)
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub fn add(&self, sent: u64, refused: u64) {
        self.sent.fetch_add(sent, Relaxed);
        self.refused.fetch_add(refused, Relaxed);
    }

    /// It takes something.
    pub fn works(&self, pipeline: &str) {
        if self.lock().take().is_some_and(|trouble| trouble.since.elapsed() > REPORT_INTERVAL) {
            tracing::info!(pipeline, target_name = &*self.outlet.name, "the target takes messages again");
        }
    }

    /// It takes something, and not all: said once in a while.
    pub fn takes_some(&self, pipeline: &str, failed: usize, words: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= REPORT_INTERVAL) {
            *said = Some(Instant::now());
            tracing::warn!(
                pipeline,
                target_name = &*self.outlet.name,
                failed,
                "some messages of the outbox are not taken, and wait with those of their keys; the others go \
                 on: {words}"
            );
        }
    }

    /// It does not: said once in a while.
    pub fn fails(&self, pipeline: &str, words: &str) {
        let mut trouble = self.lock();
        let now = Instant::now();
        let (since, said) = trouble.as_ref().map_or((now, None), |t| (t.since, Some(t.said)));
        let says = said.is_none_or(|said| said.elapsed() >= REPORT_INTERVAL);
        let said = said.filter(|_| !says).unwrap_or(now);
        *trouble = Some(Trouble { words: words.to_owned(), since, said });
        drop(trouble);
        if says {
            tracing::warn!(
                pipeline,
                target_name = &*self.outlet.name,
                waiting = self.backlog().rows,
                "messages of the outbox are not taken, and wait: {words}"
            );
        }
    }

    pub fn trouble(&self) -> Option<String> {
        let (words, seconds) = self
            .lock()
            .as_ref()
            .map(|trouble| (trouble.words.clone(), trouble.since.elapsed().as_secs()))?;
        let (name, place) = (&self.outlet.name, self.outlet.way.describe());
        let waiting = self.backlog().rows;
        Some(format!(
            "the target `{name}` ({place}) has taken nothing for {seconds} s, and {waiting} messages wait: \
             {words}"
        ))
    }

    /// At the end of a worker.
    pub fn say_what_stays(&self) {
        let waiting = self.backlog().rows;
        if waiting > 0 {
            tracing::warn!(
                target_name = &*self.outlet.name,
                waiting,
                "messages stay in the outbox, and are sent when the pipeline runs again"
            );
        }
    }

    pub fn status(&self) -> OutletStatus {
        OutletStatus {
            name: self.outlet.name.clone(),
            place: self.outlet.way.describe(),
            backlog: self.backlog(),
            sent: self.sent(),
            refused: self.refused(),
            trouble: self.trouble(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for OutletStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OutletStats").field(&self.outlet.name).finish()
    }
}
