//! The deliveries held, in reusable places.

use crate::delivery::State;
use crate::lanes::Slot;
use crate::message::{Identity, Lane, Message, Position, Receipt, Time};
use std::sync::Arc;

/// One delivery held.
#[derive(Debug)]
pub struct Entry {
    pub receipt: Receipt,
    pub message: Arc<Message>,
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
    pub key: Option<Box<str>>,
    /// How often the broker has handed it out, as far as it counts.
    pub receives: u32,
    /// Number of its receipt: the order within a lane.
    pub order: u64,
    pub weight: usize,
    pub state: State,
    pub lease_live: bool,
    /// To be run in a chunk of its own: its batch failed as a whole.
    pub alone: bool,
    /// Its last start ended with the process: to be run when no other suspect is.
    pub suspect: bool,
    /// The broker was told to deliver it again, and its lane is kept in order there.
    pub leaving: bool,
    /// It is completed, known to be so, or a letter: what follows it in its lane may go on.
    pub done: bool,
    pub place: Place,
    pub ended: Ended,
    /// When it was received.
    pub since: Time,
    /// The number of its last start here; 0 for none yet.
    pub attempt: u32,
    /// Digest of the handler that did not complete it last.
    pub handler: Option<Arc<str>>,
    /// When its wait is over, while it waits here.
    pub due: Option<Time>,
}

/// Where an entry is kept, besides its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Waits among the lanes.
    Lanes,
    /// Waits for the verdict of another delivery with its key.
    Twin,
    /// Waits for the turn of suspects.
    Suspect,
    /// Taken by a chunk, or waits for its retry here: its lane waits for it.
    Taken,
    /// On its way back to the broker: its lane waits until it is there.
    Leaving,
    /// Nowhere: its lane does not count it.
    Out,
}

/// What the end of a delivery means for others with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing: the next one takes its place.
    Free,
    /// They are duplicates.
    Completed,
    /// They wait as long as it does.
    Delayed(u64),
}

/// Where a place's number of uses stands in a slot.
const USES: u32 = 32;

#[derive(Debug, Default)]
pub struct Entries {
    places: Vec<(u32, Option<Entry>)>,
    free: Vec<u32>,
    weight: usize,
}

impl Entries {
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn weight(&self) -> usize {
        self.weight
    }

    pub fn insert(&mut self, entry: Entry) -> Slot {
        self.weight += entry.weight;
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            (self.places.len() - 1) as u32
        });
        let (uses, place) = &mut self.places[index as usize];
        *uses = uses.wrapping_add(1);
        *place = Some(entry);
        slot(*uses, index)
    }

    pub fn remove(&mut self, slot: Slot) -> Option<Entry> {
        self.get(slot)?;
        let index = slot as u32;
        let entry = self.places.get_mut(index as usize)?.1.take()?;
        self.weight -= entry.weight;
        self.free.push(index);
        Some(entry)
    }

    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        let (uses, entry) = self.places.get(slot as u32 as usize)?;
        entry.as_ref().filter(|_| u64::from(*uses) == slot >> USES)
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        let (uses, entry) = self.places.get_mut(slot as u32 as usize)?;
        entry.as_mut().filter(|_| u64::from(*uses) == slot >> USES)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.places.iter().filter_map(|(_, e)| e.as_ref())
    }

    /// Deliveries of a lane that wait for the turn of suspects, or for another with their key; in
    /// the order of receipt.
    pub fn waiting_aside(&self, lane: Lane) -> Vec<Slot> {
        let aside = |slot: &Slot| {
            let entry = self.get(*slot);
            entry.is_some_and(|e| e.lane == Some(lane) && matches!(e.place, Place::Twin | Place::Suspect))
        };
        self.slots().into_iter().filter(aside).collect()
    }

    /// The slots of what is held, in the order of receipt.
    pub fn slots(&self) -> Vec<Slot> {
        let places = self.places.iter().zip(0u32..);
        let mut slots: Vec<(u64, Slot)> =
            places.filter_map(|((uses, e), index)| Some((e.as_ref()?.order, slot(*uses, index)))).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

fn slot(uses: u32, index: u32) -> Slot {
    u64::from(uses) << USES | u64::from(index)
}
