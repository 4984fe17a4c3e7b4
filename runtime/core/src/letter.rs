//! What a dead letter says of its message, as headers: for targets that keep letters as messages. And a
//! letter as it is found there.
//!
//! The names are a contract: other tools read them.

mod stored;

pub use stored::{LetterId, StoredLetter};

use crate::effects::ID_HEADER;
use crate::header::Header;
use crate::outcome::Letter;
use crate::trace::ORIGIN;

/// What the names begin with. A message's own headers of such names give way.
pub const PREFIX: &str = "pelton-";
/// The header of a message that came back from its letter, where its broker gives it no place of its own:
/// names the replay. The same message may be a letter again, and come back again.
pub const REPLAY: &str = "pelton-replay";
/// The header of a message that was replayed with another idempotency key: what is added to that.
pub const NEW_KEY: &str = "pelton-new-key";
/// There when the broker had no value for the message.
const TOMBSTONE: &str = "pelton-tombstone";

/// What is known of why a message is a letter. Empty and none where a target does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// The id that the message had.
    pub message_id: Option<String>,
    /// A word of `Cause`.
    pub cause: String,
    /// A word of `Failure`.
    pub failure: String,
    /// In words.
    pub reason: String,
    /// Handler starts.
    pub attempts: u32,
    /// Digest of the handler.
    pub handler: String,
    /// Where the message was published.
    pub origin: String,
    /// When it was published, in milliseconds since the epoch.
    pub published_at_ms: Option<u64>,
    /// When the letter was written, in milliseconds since the epoch.
    pub failed_at_ms: Option<u64>,
    /// The broker had no value for it.
    pub tombstone: bool,
}

/// The message's own headers, and behind them those of the letter. `now_ms` since the epoch.
#[must_use]
pub fn headers(pipeline: &str, letter: &Letter, now_ms: u64) -> Vec<Header> {
    let message = &letter.message;
    let added = [
        ("message-id", message.id().to_string()),
        ("cause", letter.cause.as_str().to_owned()),
        ("failure", letter.failure.as_str().to_owned()),
        ("reason", letter.reason.clone()),
        ("attempts", letter.attempts.to_string()),
        ("handler", letter.handler.to_string()),
        ("pipeline", pipeline.to_owned()),
        ("origin", message.origin().to_owned()),
        ("published-at-ms", message.published_at_ms().unwrap_or(now_ms).to_string()),
        ("failed-at-ms", now_ms.to_string()),
    ];
    let added = added.map(|(name, value)| Header::new(format!("{PREFIX}{name}"), value));
    let tombstone = message.tombstone().then(|| Header::new(TOMBSTONE, ""));
    own(&message.headers().to_vec()).chain(added).chain(tombstone).collect()
}

/// A message's own headers: none that a letter adds.
pub fn own(headers: &[Header]) -> impl Iterator<Item = Header> + '_ {
    headers.iter().filter(|h| !is_ours(&h.name)).cloned()
}

/// Whether a header is a mark of ours, and not the message's own. The id that it has from an outbox is its
/// own, and so is what makes its idempotency key another, and where its trace began: it is the same message
/// wherever it goes.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) && ![ID_HEADER, NEW_KEY, ORIGIN].contains(&name)
}

/// Takes them apart again: what is said of the letter. `own` gives the rest.
#[must_use]
pub fn note(headers: &[Header]) -> Note {
    let find = |name: &str| headers.iter().find(|h| h.name.strip_prefix(PREFIX) == Some(name));
    let known = |name: &str| find(name).map(|h| String::from_utf8_lossy(&h.value).into_owned());
    let text = |name: &str| known(name).unwrap_or_default();
    Note {
        message_id: known("message-id"),
        cause: text("cause"),
        failure: text("failure"),
        reason: text("reason"),
        attempts: text("attempts").parse().unwrap_or(0),
        handler: text("handler"),
        origin: text("origin"),
        published_at_ms: text("published-at-ms").parse().ok(),
        failed_at_ms: text("failed-at-ms").parse().ok(),
        tombstone: find("tombstone").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{HeaderList, Message, Parts};
    use crate::outcome::{Cause, Failure};
    use crate::ports::Work;

    #[test]
    fn what_is_written_is_read() {
        let header = |name: &str, value: &str| Header::new(name, value);
        let theirs = [header("a", "1"), header("pelton-cause", "forged"), header("a", "2")];
        let message = Message::new(Parts {
            headers: theirs.iter().collect::<HeaderList>().view(),
            published_at_ms: Some(5),
            tombstone: true,
            ..Parts::named("orders/0/7")
        });
        let letter = Letter {
            message,
            identity: None,
            scope: None,
            claim: None,
            skipped: 0,
            settle: None,
            cause: Cause::Rejected,
            failure: Failure::Reject,
            reason: "no".into(),
            attempts: 3,
            handler: "sha256:00".into(),
        };
        let headers = headers("orders", &letter, 9);
        let note = note(&headers);
        assert_eq!((note.cause.as_str(), note.failure.as_str(), note.attempts), ("rejected", "reject", 3));
        assert_eq!((note.published_at_ms, note.failed_at_ms, note.tombstone), (Some(5), Some(9), true));
        assert_eq!(note.message_id.as_deref(), Some("orders/0/7"));
        assert_eq!(own(&headers).collect::<Vec<_>>(), [header("a", "1"), header("a", "2")]);
    }

    #[test]
    fn a_new_key_is_a_replayed_message_s_own_and_nothing_else_changes() {
        let key = |headers: &[Header], replayed: bool| {
            let headers = headers.iter().collect::<HeaderList>();
            let message = Message::new(Parts { headers: headers.view(), replayed, ..Parts::named("o/7") });
            let work =
                Work { message, attempt: 1, lane: None, key: Some("7".into()), scope: None, redo: None };
            work.idempotency_key().to_string()
        };
        let old = key(&[], true);
        let marked = [Header::new(NEW_KEY, "9")];
        assert_eq!(key(&marked, true), format!("{old}:9"));
        assert_eq!([key(&marked, false), key(&[Header::new(NEW_KEY, "a b")], true)], [old.clone(), old]);
        assert!(own(&marked).eq(marked.iter().cloned()), "it stays when it is a letter again");
    }
}
