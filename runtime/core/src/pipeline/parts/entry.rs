//! One delivery held.

use super::leases::Lease;
use crate::delivery::DeliveryState;
use crate::message::{Delivery, Identity, Lane, Message, Position, Receipt, Time};
use crate::pipeline::Known;
use crate::ports::Claim;
use std::sync::Arc;

/// The place of a delivery among those held here. Never that of another delivery later: the upper
/// half counts how often the place was used, so a late answer finds nothing.
pub type Slot = u64;

/// One delivery held.
#[derive(Debug)]
pub struct Entry {
    pub receipt: Receipt,
    pub message: Message,
    /// What handlers see in its place.
    pub seen: Option<Message>,
    pub lane: Option<Lane>,
    pub position: Option<Position>,
    /// The one that its partition came with, for sources that take partitions back.
    pub assignment: u32,
    /// Offsets before it that hold no message.
    pub skipped: u64,
    /// Which of the messages with its id it is, as far as the source knows.
    pub instance: Option<u64>,
    /// None for an invalid message.
    pub identity: Option<Identity>,
    /// Its deduplication key, where that is not its id.
    pub key: Option<Arc<str>>,
    /// How often the broker has handed it out, as far as it counts.
    pub receives: u32,
    /// Number of its receipt: the order within a lane.
    pub order: u64,
    pub weight: usize,
    pub state: DeliveryState,
    pub lease_live: bool,
    /// None where deliveries stay ours while the process lives, and once it has ended.
    pub lease: Option<Lease>,
    /// To be run in a chunk of its own: its batch failed as a whole.
    pub alone: bool,
    /// Its last start ended with the process: to be run when no other suspect is.
    pub suspect: bool,
    /// The broker was told to deliver it again, and its lane is kept in order there.
    pub leaving: bool,
    /// Why it may be acknowledged. Then what follows it in its lane may go on, too.
    pub durable: Option<Durable>,
    /// Of those with its key it is the one that may start: the others wait for it.
    pub holds_key: bool,
    /// It has a claim that was not completed, released or ended by a letter yet.
    pub claimed: bool,
    /// What its end means for others with its key.
    pub release: KeyRelease,
    /// When it was received.
    pub since: Time,
    /// The number of its last start here; 0 for none yet.
    pub attempt: u32,
    /// How often in a row it could not complete, since others had changed the state that it had read, or were
    /// in its way.
    pub conflicts: u32,
    /// Nothing else is started while it is in work, since it has had so many.
    pub contended: bool,
    /// It has waited for a token of its key, and may have one.
    pub has_key_turn: bool,
    /// The last chunk in which it was given to a handler, and its place there.
    pub started: (u64, usize),
    /// The one ahead of it in its lane that is to be completed before it.
    pub after: Option<Claim>,
    /// Digest of the handler that did not complete it last.
    pub handler: Option<Arc<str>>,
    /// When its wait is over, while it waits here.
    pub due: Option<Time>,
    /// It waits since another worker has it, by the word of a ledger that they share.
    pub elsewhere: bool,
    /// Where it is kept; [`Entries::put`](super::entries::Entries::put) changes it.
    pub(super) location: EntryLocation,
}

impl Entry {
    /// What has just been received, as number `order`.
    pub fn new(delivery: Delivery, known: Option<Known>, order: u64, now: Time) -> Self {
        let (identity, key, seen) = known.map_or((None, None, None), |k| (Some(k.identity), k.key, k.seen));
        Self {
            receipt: delivery.receipt,
            weight: delivery.message.weight() + seen.as_ref().map_or(0, Message::weight),
            message: delivery.message,
            seen,
            lane: delivery.lane,
            position: delivery.position,
            assignment: delivery.assignment,
            skipped: delivery.skipped,
            instance: delivery.instance,
            identity,
            key,
            receives: delivery.receives,
            order,
            state: DeliveryState::Admitted,
            lease_live: true,
            lease: None,
            alone: false,
            suspect: false,
            leaving: false,
            durable: None,
            holds_key: false,
            claimed: false,
            release: KeyRelease::Free,
            since: now,
            attempt: 0,
            conflicts: 0,
            contended: false,
            has_key_turn: false,
            started: (0, 0),
            after: None,
            handler: None,
            due: None,
            elsewhere: false,
            location: EntryLocation::Out,
        }
    }

    pub fn location(&self) -> EntryLocation {
        self.location
    }

    /// It waits beside its lane, and counts as out of it.
    pub fn is_aside(&self) -> bool {
        self.location.is_aside()
    }

    /// Invalid messages have none, and are never claimed.
    pub fn claimed_identity(&self) -> Identity {
        let Some(identity) = self.identity else {
            panic!("a message without a deduplication key is claimed: {:?}", self.state)
        };
        identity
    }
}

/// Where an entry is kept, besides its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryLocation {
    /// Waits among the lanes.
    Lanes,
    /// Waits for the verdict of another delivery with its key.
    SameKey,
    /// Waits for the turn of suspects.
    Suspects,
    /// Waits for a token of its key.
    KeyLimited,
    /// Waits for its partition to go on, which an operator has paused.
    Paused,
    /// Taken by a chunk, or waits for its retry here: its lane waits for it.
    Taken,
    /// On its way back to the broker: its lane waits until it is there.
    Leaving,
    /// Nowhere: its lane does not count it.
    Out,
}

impl EntryLocation {
    /// Whether what is there waits for something else than a worker: for another with its key, the turn of
    /// suspects, a token of its key, or its partition.
    pub fn is_aside(self) -> bool {
        Self::ASIDE.contains(&self)
    }

    /// Where such a message may be.
    pub const ASIDE: [Self; 4] = [Self::SameKey, Self::Suspects, Self::KeyLimited, Self::Paused];

    /// How many there are.
    pub const COUNT: usize = 8;
}

/// What is on disk of a message, so that the broker may forget it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// It is completed, or another with its key is.
    Completed,
    /// Its dead letter, or that it was left to its broker's.
    DeadLetter,
}

/// What the end of a delivery means for others with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRelease {
    /// Nothing: the next one takes its place.
    Free,
    /// They are duplicates.
    Completed,
    /// They wait as long as it does.
    Delayed(u64),
}
