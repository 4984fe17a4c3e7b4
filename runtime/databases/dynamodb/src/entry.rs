//! An item for one message: what is known of it, and how it is written.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue as Value;
use pelton_core::letter;
use pelton_core::ports::{ClaimItem, Scope};
use pelton_core::{Identity, Message};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The table's key.
pub(crate) const KEY: &str = "pk";
/// What the service removes an item by, in seconds since the epoch.
pub(crate) const EXPIRES: &str = "expires";
/// Attributes of a message.
const STATE: &str = "fate";
const WORKER: &str = "worker";
const CLAIM: &str = "claim";
const ATTEMPTS: &str = "attempts";
const MARK: &str = "mark";
const AT: &str = "at_ms";

/// An item as the SDK has it.
pub(crate) type Item = HashMap<String, Value>;

/// What has become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A worker has it in work.
    Claimed,
    /// It failed, or was handed back: whoever meets it next may start it.
    Free,
    /// It was completed.
    Done,
    /// It has a letter: the mark of its message.
    Lettered(Vec<u8>),
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) fate: Fate,
    /// Who had it last, and by which claim: together they are never used twice.
    pub(crate) worker: String,
    pub(crate) claim: u64,
    pub(crate) attempts: u32,
    /// When this was written, in milliseconds since the epoch; for people.
    pub(crate) at_ms: u64,
    /// In seconds since the epoch.
    pub(crate) expires: u64,
}

impl Fate {
    fn word(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Free => "free",
            Self::Done => "done",
            Self::Lettered(_) => "letter",
        }
    }

    /// The condition that no worker has a message, with its names and values.
    pub(crate) fn not_claimed() -> (&'static str, HashMap<String, String>, HashMap<String, Value>) {
        let names = HashMap::from([("#fate".to_owned(), STATE.to_owned())]);
        let values = HashMap::from([(":fate".to_owned(), Value::S(Self::Claimed.word().to_owned()))]);
        ("attribute_not_exists(#fate) OR #fate <> :fate", names, values)
    }
}

impl Entry {
    pub(crate) fn item(&self) -> Item {
        let text = |text: &str| Value::S(text.to_owned());
        let number = |number: u64| Value::N(number.to_string());
        let mut item = Item::from([
            (KEY.to_owned(), text(&self.key)),
            (STATE.to_owned(), text(self.fate.word())),
            (WORKER.to_owned(), text(&self.worker)),
            (CLAIM.to_owned(), number(self.claim)),
            (ATTEMPTS.to_owned(), number(self.attempts.into())),
            (AT.to_owned(), number(self.at_ms)),
            (EXPIRES.to_owned(), number(self.expires)),
        ]);
        if let Fate::Lettered(mark) = &self.fate {
            item.insert(MARK.to_owned(), Value::B(Blob::new(mark.clone())));
        }
        item
    }

    /// What an item says; none of one that no worker of ours has written.
    pub(crate) fn read(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        let fate = match text(STATE)?.as_str() {
            "claimed" => Fate::Claimed,
            "free" => Fate::Free,
            "done" => Fate::Done,
            "letter" => Fate::Lettered(item.get(MARK)?.as_b().ok()?.clone().into_inner()),
            _ => return None,
        };
        Some(Self {
            key: text(KEY)?,
            fate,
            worker: text(WORKER)?,
            claim: number(item, CLAIM)?,
            attempts: u32::try_from(number(item, ATTEMPTS)?).unwrap_or(u32::MAX),
            at_ms: number(item, AT)?,
            expires: number(item, EXPIRES)?,
        })
    }

    /// The same as when it was read: names and values of a condition.
    pub(crate) fn unchanged(&self) -> Condition {
        Condition::new("#fate = :fate AND #worker = :worker AND #claim = :claim AND #attempts = :attempts")
            .with("fate", STATE, Value::S(self.fate.word().to_owned()))
            .with("worker", WORKER, Value::S(self.worker.clone()))
            .with("claim", CLAIM, Value::N(self.claim.to_string()))
            .with("attempts", ATTEMPTS, Value::N(self.attempts.to_string()))
    }
}

/// A number of an item.
pub(crate) fn number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// When a write counts.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) text: String,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: HashMap<String, Value>,
}

impl Condition {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), names: HashMap::new(), values: HashMap::new() }
    }

    fn with(mut self, word: &str, name: &str, value: Value) -> Self {
        self.names.insert(format!("#{word}"), name.to_owned());
        self.values.insert(format!(":{word}"), value);
        self
    }

    /// There is no such item.
    pub(crate) fn is_new() -> Self {
        let mut condition = Self::new("attribute_not_exists(#pk)");
        condition.names.insert("#pk".to_owned(), KEY.to_owned());
        condition
    }

    /// The claim still stands: it is this worker's, and nobody has taken it over.
    pub(crate) fn is_mine(worker: &str, claim: u64) -> Self {
        Self::new("#fate = :fate AND #worker = :worker AND #claim = :claim")
            .with("fate", STATE, Value::S(Fate::Claimed.word().to_owned()))
            .with("worker", WORKER, Value::S(worker.to_owned()))
            .with("claim", CLAIM, Value::N(claim.to_string()))
    }
}

/// The key of a message in the table: what numbers it, and what it is known by, as a digest behind the name
/// of the ledger.
pub(crate) fn key(ledger: &str, identity: Identity, message: &Message, scope: Option<&Scope>) -> String {
    let mut digest = Sha256::new();
    digest.update(scope.map_or("", |scope| scope).as_bytes());
    digest.update([0]);
    match identity {
        // The number of a partition is this worker's own; the id names its topic.
        Identity::Position(_) => digest.update(message.id().text().as_bytes()),
        Identity::Key(key) => {
            digest.update([0]);
            digest.update(key);
        }
    }
    let digest = digest.finalize();
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("message/{ledger}/{hex}")
}

/// The key of a claimed item, by what the core says of it.
pub(crate) fn key_of(ledger: &str, item: &ClaimItem) -> String {
    key(ledger, item.identity, &item.message, item.scope.as_ref())
}

/// What is left of a message that has a letter: one that came back from its letter has the id it had, and is
/// another.
pub(crate) fn mark(message: &Message) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(message.id().text().as_bytes());
    let replay = message.headers().find(letter::REPLAY).filter(|_| message.replayed());
    if let Some(replay) = replay {
        digest.update([0]);
        digest.update(replay.value);
    }
    digest.finalize()[..16].to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::message::{Channel, Parts};
    use pelton_core::{Name, Position};
    use std::sync::Arc;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for fate in [Fate::Claimed, Fate::Free, Fate::Done, Fate::Lettered(vec![1, 2])] {
            let (key, worker) = ("message/orders/00".to_owned(), "w-1".to_owned());
            let entry = Entry { key, fate, worker, claim: 7, attempts: 2, at_ms: 5, expires: 9 };
            assert_eq!(Entry::read(&entry.item()), Some(entry));
        }
        assert_eq!(Entry::read(&Item::new()), None);
    }

    #[test]
    fn a_key_tells_sources_and_places_apart_whatever_this_worker_calls_them() {
        let channel = Arc::new(Channel::of_partition("p", "orders", 3));
        let message =
            |n| Message::new(Parts { channel: &channel, name: Name::Number(n), ..Parts::default() });
        let at = |partition, offset| Identity::Position(Position { partition, offset });
        let (one, other): (Scope, Scope) = ("topic-1".into(), "topic-2".into());
        let first = key("orders", at(3, 17), &message(17), Some(&one));
        assert_eq!(first, key("orders", at(99, 17), &message(17), Some(&one)));
        assert_ne!(first, key("orders", at(3, 17), &message(17), Some(&other)));
        assert_ne!(first, key("orders", at(3, 18), &message(18), Some(&one)));
        assert_ne!(first, key("refunds", at(3, 17), &message(17), Some(&one)));
        let keyed = key("orders", Identity::Key([7; 16]), &message(17), Some(&one));
        assert_eq!(keyed, key("orders", Identity::Key([7; 16]), &message(18), Some(&one)));
        assert_ne!(keyed, first);
    }
}
