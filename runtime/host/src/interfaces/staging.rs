//! What the running call stages: what it has read and written of state, and what it sends. It is kept here
//! until the call has answered, and bounded meanwhile.
//!
//! Pure: no state is asked and nothing is sent. What the limits are, what a repeated key does and what is
//! handed on in the end is decided here.

use pelton_core::effects::{Bucket, Effects, Seen, StagedMessage, Stamp, Target, Write};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// Keys of state that one message may read or write.
const KEYS: usize = 1_000;
/// Bytes of keys and values that one message may stage.
const STATE_BYTES: usize = 4 << 20;
/// Messages that one message may send.
const MESSAGES: usize = 1_000;
/// Bytes of them together.
const MESSAGE_BYTES: usize = 4 << 20;
/// What a key or a message takes beside its bytes.
const FIXED_BYTES: usize = 96;

/// How much a call may stage. A call with several messages has the sum of what each may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    messages: usize,
    memory: usize,
}

/// A key in its store.
pub(crate) type StateKey = (Bucket, Vec<u8>);

/// A bound that would be passed, in words for the handler.
#[derive(Debug, PartialEq)]
pub(crate) struct OverBounds(pub(crate) String);

/// All that a call has staged so far.
#[derive(Default)]
pub(crate) struct Staging {
    keys: BTreeMap<StateKey, Touched>,
    /// Stamps of keys that were seen with another one before. Only one of two can still stand, so that what
    /// has read both never commits.
    changed: Vec<Seen>,
    state_bytes: usize,
    messages: Vec<StagedMessage>,
    message_bytes: usize,
    /// How many messages a place in the call has sent to a target.
    sent: HashMap<(usize, Target), u64>,
}

/// What a call has done with a key.
#[derive(Default)]
struct Touched {
    seen: Option<Stamp>,
    written: Option<(Option<Vec<u8>>, Stamp)>,
}

impl Bounds {
    /// Of a call with so many messages, whose instance has so much memory.
    pub(crate) fn of(messages: usize, memory: usize) -> Self {
        Self { messages: messages.max(1), memory }
    }

    fn at_most(&self, what: &str, count: usize, each: usize) -> Result<(), OverBounds> {
        let max = each.saturating_mul(self.messages);
        if count <= max {
            return Ok(());
        }
        let whose = if self.messages == 1 { "one message may" } else { "the messages of one call may" };
        Err(OverBounds(format!("{whose} have {max} {what}, and this would be {count}")))
    }

    fn bytes(&self, what: &str, count: usize, each: usize) -> Result<(), OverBounds> {
        self.at_most(what, count, each)?;
        if count <= self.memory {
            return Ok(());
        }
        Err(OverBounds(format!(
            "{what} are kept beside the handler's memory and may be as many as that has, {}; this would be \
             {count}",
            self.memory
        )))
    }
}

impl Staging {
    /// Bytes that are kept for the guest.
    pub(crate) fn weight(&self) -> usize {
        self.state_bytes + self.message_bytes
    }

    /// What this call has written last under a key: the value, and the stamp of the write.
    pub(crate) fn own(&self, key: &StateKey) -> Option<(Option<&[u8]>, Stamp)> {
        let (value, stamp) = self.keys.get(key)?.written.as_ref()?;
        Some((value.as_deref(), *stamp))
    }

    /// Notes that a key was read, and with which stamp.
    pub(crate) fn note(&mut self, key: StateKey, stamp: Stamp, bounds: Bounds) -> Result<(), OverBounds> {
        self.make_room(&key, bounds)?;
        if let Some(first) = self.keys.get(&key).and_then(|touched| touched.seen) {
            if first != stamp && !self.changed.iter().any(|seen| seen.stamp == stamp && seen.key == key.1) {
                self.changed.push(Seen { bucket: key.0, key: key.1, stamp });
            }
            return Ok(());
        }
        self.keys.entry(key).or_default().seen = Some(stamp);
        Ok(())
    }

    /// Writes a key, or removes it. What was written before no longer counts.
    pub(crate) fn write(
        &mut self,
        key: StateKey,
        value: Option<Vec<u8>>,
        stamp: Stamp,
        bounds: Bounds,
    ) -> Result<(), OverBounds> {
        let before = self.own(&key).and_then(|(value, _)| value).map_or(0, <[u8]>::len);
        let more = value.as_ref().map_or(0, Vec::len);
        let new = if self.keys.contains_key(&key) { 0 } else { key.1.len() + FIXED_BYTES };
        bounds.bytes("bytes of state", self.state_bytes - before + more + new, STATE_BYTES)?;
        self.make_room(&key, bounds)?;
        self.state_bytes = self.state_bytes - before + more;
        self.keys.entry(key).or_default().written = Some((value, stamp));
        Ok(())
    }

    /// Counts a key that was not touched before.
    fn make_room(&mut self, key: &StateKey, bounds: Bounds) -> Result<(), OverBounds> {
        if self.keys.contains_key(key) {
            return Ok(());
        }
        bounds.at_most("keys of state", self.keys.len() + 1, KEYS)?;
        let bytes = self.state_bytes + key.1.len() + FIXED_BYTES;
        bounds.bytes("bytes of state", bytes, STATE_BYTES)?;
        self.state_bytes = bytes;
        Ok(())
    }

    /// What this call has written in a store, behind `after` and up to `last`: whether each key is there.
    pub(crate) fn own_keys(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        last: Option<&[u8]>,
    ) -> impl Iterator<Item = (&[u8], bool)> {
        let from = match after {
            Some(after) => Bound::Excluded((bucket, after.to_vec())),
            None => Bound::Included((bucket, Vec::new())),
        };
        let last = last.map(<[u8]>::to_vec);
        let range = self.keys.range((from, Bound::Unbounded));
        range
            .take_while(move |((of, key), _)| *of == bucket && last.as_ref().is_none_or(|last| key <= last))
            .filter_map(|((_, key), touched)| {
                touched.written.as_ref().map(|(value, _)| (&**key, value.is_some()))
            })
    }

    /// The number that the next message from this place in the call to this target has.
    pub(crate) fn ordinal(&self, place: usize, target: Target) -> u64 {
        self.sent.get(&(place, target)).copied().unwrap_or_default()
    }

    /// Stages a message from this place in the call.
    pub(crate) fn send(
        &mut self,
        place: usize,
        message: StagedMessage,
        bounds: Bounds,
    ) -> Result<(), OverBounds> {
        let bytes = self.message_bytes + weight(&message);
        bounds.at_most("messages in the outbox", self.messages.len() + 1, MESSAGES)?;
        bounds.bytes("bytes in the outbox", bytes, MESSAGE_BYTES)?;
        self.message_bytes = bytes;
        *self.sent.entry((place, message.target)).or_default() += 1;
        self.messages.push(message);
        Ok(())
    }

    /// All of it, to be committed with the completion.
    pub(crate) fn into_effects(self) -> Effects {
        let mut effects = Effects::default();
        (effects.reads, effects.messages) = (self.changed, self.messages);
        for ((bucket, key), touched) in self.keys {
            if let Some(stamp) = touched.seen {
                effects.reads.push(Seen { bucket, key: key.clone(), stamp });
            }
            if let Some((value, stamp)) = touched.written {
                effects.writes.push(Write { bucket, key, value, stamp });
            }
        }
        effects
    }
}

/// Bytes that a message takes.
pub(crate) fn weight(message: &StagedMessage) -> usize {
    let headers: usize = message.headers.iter().map(|header| header.weight()).sum();
    let key = message.key.as_ref().map_or(0, Vec::len);
    let topic = message.topic.as_ref().map_or(0, String::len);
    FIXED_BYTES + headers + key + topic + message.body.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: Bucket = Bucket(1);

    fn bounds() -> Bounds {
        Bounds::of(1, 128 << 20)
    }

    fn key(key: &str) -> StateKey {
        (ONE, key.as_bytes().to_vec())
    }

    #[test]
    fn a_key_is_handed_on_once_with_what_was_seen_first_and_written_last() {
        let mut staging = Staging::default();
        staging.note(key("k"), Stamp(7), bounds()).unwrap();
        staging.note(key("k"), Stamp(7), bounds()).unwrap();
        staging.write(key("k"), Some(vec![1]), Stamp(8), bounds()).unwrap();
        staging.write(key("k"), None, Stamp(9), bounds()).unwrap();
        assert_eq!(staging.own(&key("k")), Some((None, Stamp(9))));
        let effects = staging.into_effects();
        assert_eq!(effects.reads, [Seen { bucket: ONE, key: b"k".to_vec(), stamp: Stamp(7) }]);
        assert_eq!(
            effects.writes,
            [Write { bucket: ONE, key: b"k".to_vec(), value: None, stamp: Stamp(9) }]
        );
    }

    #[test]
    fn a_key_that_changed_while_it_was_read_can_never_commit() {
        let mut staging = Staging::default();
        for stamp in [7, 8, 8, 7] {
            staging.note(key("k"), Stamp(stamp), bounds()).unwrap();
        }
        let stamps: Vec<Stamp> = staging.into_effects().reads.iter().map(|seen| seen.stamp).collect();
        assert_eq!(stamps, [Stamp(8), Stamp(7)]);
    }

    #[test]
    fn bounds_are_those_of_all_messages_of_the_call() {
        let fill = |bounds: Bounds| {
            let mut staging = Staging::default();
            let mut keys = 0;
            while staging.write(key(&keys.to_string()), None, Stamp(1), bounds).is_ok() {
                keys += 1;
            }
            keys
        };
        assert_eq!((fill(bounds()), fill(Bounds::of(3, 128 << 20))), (1_000, 3_000));
        assert!(fill(Bounds::of(3, 10_000)) < 120, "the memory of the instance bounds it too");
        let mut staging = Staging::default();
        let megabyte = || Some(vec![0; 1 << 20]);
        for n in 0..3 {
            staging.write(key(&n.to_string()), megabyte(), Stamp(1), bounds()).unwrap();
        }
        // The same key again takes no more.
        staging.write(key("2"), megabyte(), Stamp(2), bounds()).unwrap();
        let before = staging.weight();
        let said = staging.write(key("3"), megabyte(), Stamp(1), bounds()).unwrap_err().0;
        assert!(said.starts_with("one message may have 4194304 bytes of state"), "{said}");
        assert_eq!(staging.weight(), before, "what is refused leaves nothing behind");
        staging.write(key("2"), None, Stamp(3), bounds()).unwrap();
        assert_eq!(staging.weight(), before - (1 << 20));
    }

    #[test]
    fn keys_of_its_own_are_listed_between_two_others() {
        let mut staging = Staging::default();
        for (name, value) in [("a", Some(Vec::new())), ("b", None), ("c", Some(Vec::new()))] {
            staging.write(key(name), value, Stamp(1), bounds()).unwrap();
        }
        staging.note(key("bb"), Stamp::ABSENT, bounds()).unwrap();
        staging.write((Bucket(2), b"b".to_vec()), Some(Vec::new()), Stamp(1), bounds()).unwrap();
        let listed = |after: Option<&str>, last: Option<&str>| -> Vec<(String, bool)> {
            let keys = staging.own_keys(ONE, after.map(str::as_bytes), last.map(str::as_bytes));
            keys.map(|(key, there)| (String::from_utf8_lossy(key).into_owned(), there)).collect()
        };
        let own = |key: &str, there| (key.to_owned(), there);
        assert_eq!(listed(None, None), [own("a", true), own("b", false), own("c", true)]);
        assert_eq!(listed(Some("a"), Some("b")), [own("b", false)]);
    }
}
