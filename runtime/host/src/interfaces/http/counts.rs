//! What became of a handler's requests: counted, and said now and then.

use super::failure::{Code, Failed};
use crate::guest::text;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One kind of failure at one place is said at most this often.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Kinds and places that are told apart.
const MOST: usize = 256;
/// Bytes of a reason in the log.
const WORDS: usize = 512;

/// What the requests of a pipeline's handler have come to, since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpCounts {
    /// Requests that were made, those that were denied included.
    pub requests: u64,
    /// Of these, what no grant allowed: a place, a method, an address.
    pub denied: u64,
    /// Of these, what ran into a limit of the pipeline: requests at once, sizes.
    pub limited: u64,
    /// Of these, what had no answer, or no whole one, for other reasons.
    pub failed: u64,
    /// Of these, what was denied since the version is in the shadow.
    pub refused_to_shadow: u64,
    /// Requests that are under way now, and those of them that wait for their turn.
    pub running: u64,
    /// Those that wait for their turn.
    pub waiting: u64,
}

impl HttpCounts {
    /// All of them, by their names in `pelton status`.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("http_requests", self.requests),
            ("http_denied", self.denied),
            ("http_limited", self.limited),
            ("http_failed", self.failed),
            ("http_refused_to_shadow", self.refused_to_shadow),
            ("http_running", self.running),
            ("http_waiting", self.waiting),
        ]
    }
}

/// Counts of a pipeline, over all versions of its handler.
#[derive(Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    denied: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    refused_to_shadow: AtomicU64,
    pub(super) running: Gauge,
    pub(super) waiting: Gauge,
    said: Mutex<HashMap<(Code, String), Said>>,
}

/// A number that goes down again.
#[derive(Clone, Default)]
pub(super) struct Gauge(Arc<AtomicU64>);

/// One more, until it is dropped.
pub(super) struct OneMore(Gauge);

struct Said {
    at: Instant,
    since: u64,
}

impl Gauge {
    pub(super) fn enter(&self) -> OneMore {
        self.0.fetch_add(1, Relaxed);
        OneMore(self.clone())
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

impl Counts {
    pub(super) fn now(&self) -> HttpCounts {
        HttpCounts {
            requests: self.requests.load(Relaxed),
            denied: self.denied.load(Relaxed),
            limited: self.limited.load(Relaxed),
            failed: self.failed.load(Relaxed),
            refused_to_shadow: self.refused_to_shadow.load(Relaxed),
            running: self.running.0.load(Relaxed),
            waiting: self.waiting.0.load(Relaxed),
        }
    }

    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn refused_to_shadow(&self) {
        self.refused_to_shadow.fetch_add(1, Relaxed);
    }

    /// A request to `place` had no answer, or no whole one. The path is not shown: it may have a secret in
    /// it.
    pub(super) fn failed(&self, pipeline: &str, place: &str, failed: &Failed) {
        match failed.code {
            Code::Denied | Code::IpProhibited | Code::UriInvalid | Code::MethodInvalid => &self.denied,
            Code::ConnectionLimit
            | Code::RequestBodySize
            | Code::ResponseBodySize
            | Code::ResponseHeaders => &self.limited,
            _ => &self.failed,
        }
        .fetch_add(1, Relaxed);
        let Some(before) = self.is_news(failed.code, place) else { return };
        let (place, words) = (text::clean(place, 300), text::clean(&failed.words, WORDS));
        tracing::warn!(
            target: "pelton_host::http", %pipeline, place, code = failed.code.name(), unsaid = before,
            "a handler's HTTP request has no answer: {words}"
        );
    }

    /// Whether it is to be said now, and how many were not since the last time.
    fn is_news(&self, code: Code, place: &str) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.len() >= MOST {
            said.retain(|_, one| now.duration_since(one.at) < SAY_EVERY);
        }
        if said.len() >= MOST && !said.contains_key(&(code, place.to_owned())) {
            return None;
        }
        let Some(one) = said.get_mut(&(code, place.to_owned())) else {
            said.insert((code, place.to_owned()), Said { at: now, since: 0 });
            return Some(0);
        };
        if now.duration_since(one.at) < SAY_EVERY {
            one.since += 1;
            return None;
        }
        one.at = now;
        Some(std::mem::take(&mut one.since))
    }
}
