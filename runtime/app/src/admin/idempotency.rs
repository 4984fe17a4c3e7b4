//! Answers that are given again: a client that does not know whether its request was heard repeats it with
//! the same `Idempotency-Key`, and nothing is done twice.

use super::problem::Problem;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub const HEADER: &str = "idempotency-key";
/// Bytes of a key.
const KEY_BYTES: usize = 255;
/// How long an answer is known, and how many are.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
const KNOWN: usize = 1_000;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// Of one key.
struct Known {
    at: Instant,
    /// A digest of what was asked.
    asked: String,
    /// None while it is being done.
    answered: Option<Answered>,
}

/// A key of a client.
pub type Key = (String, String);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is new.
    Do,
    /// It has been done.
    Again(Answered),
}

/// The keys that are known.
#[derive(Default)]
pub struct Idempotency(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    known: HashMap<Key, Known>,
    /// In the order in which they came.
    order: VecDeque<Key>,
}

impl Idempotency {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what comes with a key is to be done. `asked` is a digest of all that was asked.
    pub fn begin(&self, key: &Key, asked: &str, now: Instant) -> Result<Turn, Problem> {
        let mut keys = self.keys();
        keys.forget(now);
        match keys.known.get(key) {
            Some(known) if known.asked != asked => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this `Idempotency-Key` came with another request before; take a new one",
            )),
            Some(Known { answered: Some(answered), .. }) => Ok(Turn::Again(answered.clone())),
            Some(_) => {
                Err(Problem::refused("a request with this `Idempotency-Key` is being done right now"))
            }
            None => {
                keys.known.insert(key.clone(), Known { at: now, asked: asked.to_owned(), answered: None });
                keys.order.push_back(key.clone());
                Ok(Turn::Do)
            }
        }
    }

    /// What became of it. An answer that says "later" is not the answer.
    pub fn end(&self, key: &Key, answered: Answered) {
        let mut keys = self.keys();
        if answered.status.is_server_error() {
            keys.known.remove(key);
            keys.order.retain(|other| other != key);
        } else if let Some(known) = keys.known.get_mut(key) {
            known.answered = Some(answered);
        }
    }
}

impl Keys {
    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let is_old = |known: &Known| now.saturating_duration_since(known.at) > KNOWN_FOR;
            if self.order.len() < KNOWN && !self.known.get(oldest).is_none_or(is_old) {
                return;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// The key of a request, if it has one.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let wrong =
        || Problem::bad(format!("`Idempotency-Key` must be 1 to {KEY_BYTES} letters, digits and signs"));
    let text = value.to_str().map_err(|_| wrong())?;
    let is_good = (1..=KEY_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if is_good { Ok(Some(text.to_owned())) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(text: &str) -> Key {
        ("admin".to_owned(), text.to_owned())
    }

    fn answered(status: StatusCode) -> Answered {
        Answered { status, content_type: None, body: Bytes::from_static(b"{}") }
    }

    #[test]
    fn a_request_is_done_once_for_its_key() {
        let (known, now) = (Idempotency::default(), Instant::now());
        assert_eq!(known.begin(&key("a"), "one", now).unwrap(), Turn::Do);
        assert_eq!(known.begin(&key("a"), "one", now).unwrap_err().status, StatusCode::CONFLICT);
        assert_eq!(
            known.begin(&key("a"), "two", now).unwrap_err().status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
        known.end(&key("a"), answered(StatusCode::OK));
        assert_eq!(known.begin(&key("a"), "one", now).unwrap(), Turn::Again(answered(StatusCode::OK)));
        assert_eq!(known.begin(&key("b"), "one", now).unwrap(), Turn::Do);
        known.end(&key("b"), answered(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(known.begin(&key("b"), "one", now).unwrap(), Turn::Do, "it was not done");
        let later = now + KNOWN_FOR + Duration::from_secs(1);
        assert_eq!(known.begin(&key("a"), "two", later).unwrap(), Turn::Do, "it is forgotten");
    }

    #[test]
    fn so_many_keys_are_known_and_no_more() {
        let (known, now) = (Idempotency::default(), Instant::now());
        for number in 0..3 * KNOWN {
            known.begin(&key(&number.to_string()), "one", now).unwrap();
        }
        assert!(known.keys().known.len() <= KNOWN && known.keys().order.len() <= KNOWN);
    }
}
