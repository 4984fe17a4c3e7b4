//! The deliveries held, in reusable places.

use crate::delivery::State;
use crate::lanes::Slot;
use crate::message::{Delivery, Identity, Lane, Message, Position, Receipt, Time};
use crate::pipeline::Known;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Where it is kept; [`Entries::put`] changes it.
    place: Place,
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

impl Entry {
    /// What has just been received, as number `order`.
    pub fn new(delivery: Delivery, known: Option<Known>, order: u64, now: Time) -> Self {
        let (identity, key) = known.map_or((None, None), |k| (Some(k.identity), k.key));
        Self {
            receipt: delivery.receipt,
            weight: delivery.message.weight(),
            message: delivery.message,
            lane: delivery.lane,
            position: delivery.position,
            assignment: delivery.assignment,
            skipped: delivery.skipped,
            instance: delivery.instance,
            identity,
            key,
            receives: delivery.receives,
            order,
            state: State::Admitted,
            lease_live: true,
            alone: false,
            suspect: false,
            leaving: false,
            done: false,
            place: Place::Out,
            ended: Ended::Free,
            since: now,
            attempt: 0,
            handler: None,
            due: None,
        }
    }

    pub fn place(&self) -> Place {
        self.place
    }

    /// It waits for another with its key, or for the turn of suspects.
    fn is_aside(&self) -> bool {
        matches!(self.place, Place::Twin | Place::Suspect)
    }
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
    /// How many there are of each partition.
    partitions: BTreeMap<u32, usize>,
    /// Those that wait for another with their key, or for the turn of suspects: by lane and order of receipt.
    aside: BTreeSet<(Option<Lane>, u64, Slot)>,
    suspects: usize,
    /// Those that wait for their retry.
    resting: usize,
}

impl Entries {
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn weight(&self) -> usize {
        self.weight
    }

    /// How many wait for their retry, for another with their key, or for the turn of suspects.
    pub fn waiting(&self) -> usize {
        self.resting + self.aside.len()
    }

    /// How many wait for the turn of suspects.
    pub fn suspects(&self) -> usize {
        self.suspects
    }

    /// How many of a partition there are.
    pub fn of_partition(&self, partition: u32) -> usize {
        self.partitions.get(&partition).copied().unwrap_or(0)
    }

    pub fn insert(&mut self, entry: Entry) -> Slot {
        self.weight += entry.weight;
        if let Some(position) = entry.position {
            *self.partitions.entry(position.partition).or_default() += 1;
        }
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
        let place = self.get(slot)?.place;
        self.put(slot, Place::Out);
        let index = slot as u32;
        let mut entry = self.places.get_mut(index as usize)?.1.take()?;
        entry.place = place;
        self.weight -= entry.weight;
        if let Some(position) = entry.position
            && let Some(count) = self.partitions.get_mut(&position.partition)
        {
            *count -= 1;
            if *count == 0 {
                self.partitions.remove(&position.partition);
            }
        }
        self.free.push(index);
        Some(entry)
    }

    /// Notes where an entry is kept from now on.
    pub fn put(&mut self, slot: Slot, place: Place) {
        let Some(entry) = self.get_mut(slot) else { return };
        let before = std::mem::replace(&mut entry.place, place);
        if before == place {
            return;
        }
        let (is_aside, key) = (entry.is_aside(), (entry.lane, entry.order, slot));
        if is_aside {
            self.aside.insert(key);
        } else if matches!(before, Place::Twin | Place::Suspect) {
            self.aside.remove(&key);
        }
        self.suspects -= usize::from(before == Place::Suspect);
        self.suspects += usize::from(place == Place::Suspect);
    }

    /// It has a newer receipt, which gives it its place among the others.
    pub fn reorder(&mut self, slot: Slot, order: u64) {
        let Some(entry) = self.get_mut(slot) else { return };
        let before = std::mem::replace(&mut entry.order, order);
        let (is_aside, lane) = (entry.is_aside(), entry.lane);
        if is_aside {
            self.aside.remove(&(lane, before, slot));
            self.aside.insert((lane, order, slot));
        }
    }

    /// One waits for its retry from now on, or does no more.
    pub fn rests(&mut self, before: bool, now: bool) {
        self.resting -= usize::from(before);
        self.resting += usize::from(now);
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
        let of_lane = (Some(lane), 0, 0)..=(Some(lane), u64::MAX, Slot::MAX);
        self.aside.range(of_lane).map(|(_, _, slot)| *slot).collect()
    }

    /// The slots of those that are as wanted, in the order of receipt.
    pub fn slots(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Slot> {
        let places = self.places.iter().zip(0u32..);
        let one = |((uses, entry), index): (&(u32, Option<Entry>), u32)| {
            let entry = entry.as_ref().filter(|entry| wanted(entry))?;
            Some((entry.order, slot(*uses, index)))
        };
        let mut slots: Vec<(u64, Slot)> = places.filter_map(one).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

fn slot(uses: u32, index: u32) -> Slot {
    u64::from(uses) << USES | u64::from(index)
}
