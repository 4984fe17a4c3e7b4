//! Where the outbox of a pipeline sends to.

use super::{Diagnosis, OpenError, Outgoing, Publisher};
use crate::effects::{ID_HEADER, StagedMessage};
use crate::header::Header;
use crate::letter;
use crate::shown::shown;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;

/// A place at a broker that a handler may send to, as it is configured. An embedded queue is none: what is
/// sent there is committed there.
pub trait OutboxTarget: Any + Debug + Send + Sync {
    /// Where messages go, for people: `kafka topic audit`.
    fn describe(&self) -> String;

    /// The broker's name in OpenTelemetry: its `messaging.system`.
    fn system(&self) -> &'static str;

    /// Whether another is configured alike, as for a source.
    fn is_same(&self, other: &dyn OutboxTarget) -> bool;

    /// What of a message it cannot carry, in words that go on behind "the target `NAME`"; none when it can.
    /// For each message that a handler sends, before anything is committed: asks nobody, and does not block.
    /// `cannot_send` says also what none can carry.
    fn cannot_carry(&self, message: &StagedMessage) -> Option<String>;

    /// The longest delay that the broker itself keeps, in milliseconds; 0 for none. A message with a longer
    /// one is kept by the relay until it is due, and is sent without any.
    fn longest_delay_ms(&self) -> u64;

    /// How many messages one call of [`Publisher::publish`] takes at most. Within a call a publisher keeps
    /// the order of each key: where one was not taken for now, those of its key behind it were not either. So
    /// whoever makes the next call leaves out keys of which one waits.
    fn most(&self) -> usize;

    /// What stands against opening it, as far as that is known without asking the broker. Blocks.
    fn probe(&self) -> Vec<String>;

    /// Asks the broker whether it is there, and whether this user may send to it. Nothing is sent. Blocks.
    fn diagnose(&self) -> Diagnosis;

    /// The way out. The broker is not asked, and need not be there yet.
    ///
    /// # Errors
    /// Nothing could ever be sent like that.
    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError>;
}

impl dyn OutboxTarget {
    /// This as the configuration of one broker, if it is that broker's.
    pub fn of<T: OutboxTarget>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }

    /// Why a message that a handler sends is refused, in words that go on behind "the target `NAME`"; none
    /// when it can be sent.
    pub fn cannot_send(&self, message: &StagedMessage) -> Option<String> {
        not_a_handlers(message).or_else(|| self.cannot_carry(message))
    }
}

/// What no handler may send, whatever the target: marks of ours. A message's own id is put in for it.
#[must_use]
pub fn not_a_handlers(message: &StagedMessage) -> Option<String> {
    let is_mark = |h: &&Header| h.name.starts_with(letter::PREFIX) && h.name != ID_HEADER;
    let ours = message.headers.iter().find(is_mark)?;
    let name = shown(&ours.name).at_most(64).to_string();
    Some(format!(
        "takes no header `{name}`: names that begin with `{}` are Pelton's own; leave it out",
        letter::PREFIX
    ))
}

impl StagedMessage {
    /// As it is sent, with its id in [`ID_HEADER`]; one that the handler had given under that name was
    /// another message's. `delay_ms` is what the broker is to keep of its delay.
    #[must_use]
    pub fn outgoing(&self, delay_ms: Option<u64>) -> Outgoing<'_> {
        let id = Header::new(ID_HEADER, self.id.as_bytes());
        let others = self.headers.iter().filter(|h| h.name != ID_HEADER).cloned();
        Outgoing {
            destination: self.topic.as_deref().map(Cow::Borrowed),
            key: self.key.as_deref().map(Cow::Borrowed),
            headers: Cow::Owned(others.chain([id]).collect()),
            body: Some(Cow::Borrowed(&self.body)),
            delay_ms,
            ..Outgoing::default()
        }
    }
}

impl Outgoing<'_> {
    /// What tells it from every other message, where it comes from an outbox.
    #[must_use]
    pub fn outbox_id(&self) -> Option<&str> {
        let header = self.headers.iter().find(|h| h.name == ID_HEADER)?;
        std::str::from_utf8(&header.value).ok()
    }

    /// What keeps its order: messages with the same key, there.
    #[must_use]
    pub fn lane(&self) -> Option<(Option<&str>, &[u8])> {
        Some((self.destination.as_deref(), self.key.as_deref()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::effects::Target;

    fn message(headers: Vec<Header>) -> StagedMessage {
        StagedMessage {
            target: Target(1),
            id: "0a1b".into(),
            topic: Some("audit".into()),
            key: Some(b"k".to_vec()),
            headers,
            body: b"x".to_vec(),
            delay_ms: Some(7),
        }
    }

    #[test]
    fn a_message_goes_out_with_its_own_id() {
        let staged = message(vec![Header::new("a", "1"), Header::new(ID_HEADER, "another's")]);
        let sent = staged.outgoing(None);
        assert_eq!((sent.outbox_id(), sent.delay_ms), (Some("0a1b"), None));
        assert_eq!(&*sent.headers, [Header::new("a", "1"), Header::new(ID_HEADER, "0a1b")]);
        assert_eq!(sent.lane(), Some((Some("audit"), &b"k"[..])));
        assert_eq!(staged.outgoing(staged.delay_ms).delay_ms, Some(7));
    }

    #[test]
    fn marks_of_ours_are_no_handlers() {
        let refused = |name: &str| not_a_handlers(&message(vec![Header::new(name, "1")]));
        assert!(refused("pelton-replay\n").unwrap().contains("no header `pelton-replay\\x0a`"));
        assert_eq!((refused(ID_HEADER), refused("a")), (None, None));
    }
}
