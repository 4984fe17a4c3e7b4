//! What travels: messages, their identity to the ledger, and the lane they keep their order in.

mod channel;
mod content;
mod headers;
mod id;

use crate::hash::hash_of;
use std::hash::Hash;

pub use channel::Channel;
pub use content::{Message, Parts};
pub use headers::{HeaderList, HeaderView, Headers};
pub use id::{Id, Name};

/// What identifies a message to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// What the ledger keeps of the deduplication key, 16 bytes of digest in the main: a row of it.
    Key([u8; 16]),
    /// The place in a source that numbers its messages; completed ones are kept as ranges.
    Position(Position),
}

/// What an earlier version of the runtime knew a message by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerKey {
    /// What the ledger kept of it.
    pub key: [u8; 16],
    /// It was that of other messages too, as likely as not: that it is completed says something of a message
    /// only where that was there before the form changed.
    pub shared: bool,
}

/// An offset in one partition of a source. For the embedded queue the partition is the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The partition, as numbered by the source for as long as it is open.
    pub partition: u32,
    /// The offset in it. Never reused; may have gaps.
    pub offset: u64,
}

/// Deliveries of one lane are handled in the order of their receipt, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u64);

impl Lane {
    /// The lane of an ordering key, or of what else keeps its order. Two that share one by chance only wait
    /// for each other.
    #[must_use]
    pub fn of<T: Hash + ?Sized>(key: &T) -> Self {
        Self(hash_of(key))
    }
}

/// A source's own name for one receipt; what `settle` and `extend` take. A redelivery has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt(pub u64);

/// One receipt of one message, as a source yields it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The token to settle it with.
    pub receipt: Receipt,
    /// The message itself.
    pub message: Message,
    /// The lane, where the source promises order for this message.
    pub lane: Option<Lane>,
    /// Its place, where the source numbers its messages and the place is the message's identity.
    /// `None` when the producer chose the id: then two messages may carry the same one.
    pub position: Option<Position>,
    /// How many offsets right before it hold no message, as far as the source knows: compaction and
    /// transactions leave such gaps. They are completed with it.
    pub skipped: u64,
    /// How often the broker has handed it out, to anybody and for whatever, this time included; 0 when it
    /// does not count.
    pub receives: u32,
    /// Number of the assignment that its partition came with, for sources that take partitions
    /// back: each has a larger one than the one before. 0 for others.
    pub assignment: u32,
    /// When the lease ends, where the source has leases. See `Source::receive` for what it counts from.
    pub lease_until: Option<Time>,
    /// Which of the messages with this id it is, where producers may give one id to several and the
    /// broker tells them apart: the same on every redelivery of one.
    pub instance: Option<u64>,
    /// Why it cannot be given to a handler, in words, if its source could not read all of it: it becomes an
    /// invalid message.
    pub unreadable: Option<&'static str>,
}

impl Delivery {
    /// A message by itself: of no partition, without a lane or a lease.
    #[must_use]
    pub fn of(message: Message) -> Self {
        Self {
            receipt: Receipt(0),
            message,
            lane: None,
            position: None,
            skipped: 0,
            receives: 0,
            assignment: 0,
            lease_until: None,
            instance: None,
            unreadable: None,
        }
    }
}

/// Monotonic time in milliseconds since an origin the driver chooses. Never wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(pub u64);

impl Time {
    /// This moment plus `ms` milliseconds, saturating.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 when it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
