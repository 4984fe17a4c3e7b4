//! The deliveries held, in reusable places.

use super::entry::{Entry, EntryLocation, Slot};
use crate::message::Lane;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};

/// Where a place's number of uses stands in a slot.
const USES: u32 = 32;

#[derive(Debug, Default)]
pub struct Entries {
    places: Vec<(u32, Option<Entry>)>,
    free: Vec<u32>,
    weight: usize,
    /// How many there are of each partition.
    partitions: BTreeMap<u32, usize>,
    /// How many there are at each location.
    located: [usize; EntryLocation::COUNT],
    /// Those of a lane that wait beside it: by order of receipt.
    aside: BTreeSet<(Lane, u64, Slot)>,
    /// Those that wait for their retry.
    resting: usize,
    /// How many were looked at, for tests of what work grows with.
    #[cfg(test)]
    pub visits: std::cell::Cell<u64>,
}

impl Entries {
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn weight(&self) -> usize {
        self.weight
    }

    /// How many are kept at a location.
    pub fn at(&self, location: EntryLocation) -> usize {
        self.located[location as usize]
    }

    /// How many wait for their retry.
    pub fn resting(&self) -> usize {
        self.resting
    }

    /// How many wait for something else than a worker: for their retry, or beside their lane.
    pub fn waiting(&self) -> usize {
        self.resting + self.aside()
    }

    /// How many wait beside their lane.
    pub fn aside(&self) -> usize {
        EntryLocation::ASIDE.into_iter().map(|location| self.at(location)).sum()
    }

    /// How many of a partition there are.
    pub fn of_partition(&self, partition: u32) -> usize {
        self.partitions.get(&partition).copied().unwrap_or(0)
    }

    pub fn insert(&mut self, entry: Entry) -> Slot {
        self.weight += entry.weight;
        self.located[entry.location as usize] += 1;
        if let Some(position) = entry.position {
            *self.partitions.entry(position.partition).or_default() += 1;
        }
        let taken = self.next_slot();
        let index = taken as u32;
        if self.free.pop().is_none() {
            self.places.push((0, None));
        }
        self.places[index as usize] = ((taken >> USES) as u32, Some(entry));
        taken
    }

    /// The slot that the next one will have.
    pub fn next_slot(&self) -> Slot {
        let index = self.free.last().copied().unwrap_or(self.places.len() as u32);
        let uses = self.places.get(index as usize).map_or(0, |(uses, _)| *uses);
        // The first use is number 1: no slot is 0.
        slot(uses.wrapping_add(1).max(1), index)
    }

    /// Takes out what is held; it says where it was kept.
    pub fn remove(&mut self, slot: Slot) -> Entry {
        let location = self[slot].location;
        self.put(slot, EntryLocation::Out);
        let index = slot as u32;
        let Some(mut entry) = self.places[index as usize].1.take() else { not_held(slot) };
        entry.location = location;
        self.weight -= entry.weight;
        self.located[EntryLocation::Out as usize] -= 1;
        if let Some(position) = entry.position
            && let Some(count) = self.partitions.get_mut(&position.partition)
        {
            *count -= 1;
            if *count == 0 {
                self.partitions.remove(&position.partition);
            }
        }
        self.free.push(index);
        entry
    }

    /// Notes where an entry is kept from now on.
    pub fn put(&mut self, slot: Slot, location: EntryLocation) {
        let entry = &mut self[slot];
        let before = std::mem::replace(&mut entry.location, location);
        if before == location {
            return;
        }
        let (is_aside, lane, order) = (entry.is_aside(), entry.lane, entry.order);
        self.located[before as usize] -= 1;
        self.located[location as usize] += 1;
        let Some(lane) = lane else { return };
        if is_aside {
            self.aside.insert((lane, order, slot));
        } else if before.is_aside() {
            self.aside.remove(&(lane, order, slot));
        }
    }

    /// It has a newer receipt, which gives it its place among the others.
    pub fn reorder(&mut self, slot: Slot, order: u64) {
        let entry = &mut self[slot];
        let before = std::mem::replace(&mut entry.order, order);
        if let (true, Some(lane)) = (entry.is_aside(), entry.lane) {
            self.aside.remove(&(lane, before, slot));
            self.aside.insert((lane, order, slot));
        }
    }

    /// One waits for its retry from now on, or does no more.
    pub fn rests(&mut self, before: bool, now: bool) {
        self.resting -= usize::from(before);
        self.resting += usize::from(now);
    }

    /// One that may be gone: an answer or a timer may be late. What must be there is had by `[]`.
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
        let (uses, entry) = self.places.get(slot as u32 as usize)?;
        entry.as_ref().filter(|_| u64::from(*uses) == slot >> USES)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.all().map(|(_, entry)| entry)
    }

    /// All that are held, with their slots; in no order.
    pub fn all(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        #[cfg(test)]
        self.visits.set(self.visits.get() + self.places.len() as u64);
        self.places.iter().zip(0u32..).filter_map(|(place, index)| held(place, index))
    }

    /// Deliveries of a lane that wait beside it, in the order of receipt.
    pub fn aside_of(&self, lane: Lane) -> impl Iterator<Item = Slot> + '_ {
        let of_lane = (lane, 0, 0)..=(lane, u64::MAX, Slot::MAX);
        self.aside.range(of_lane).map(|(_, _, slot)| *slot)
    }

    /// The slots of those that are as wanted, in the order of receipt. Looks at all of them.
    pub fn slots(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Slot> {
        let wanted = self.all().filter(|(_, entry)| wanted(entry));
        let mut slots: Vec<(u64, Slot)> = wanted.map(|(slot, entry)| (entry.order, slot)).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

impl Index<Slot> for Entries {
    type Output = Entry;

    #[track_caller]
    fn index(&self, slot: Slot) -> &Entry {
        let Some(entry) = self.get(slot) else { not_held(slot) };
        entry
    }
}

impl IndexMut<Slot> for Entries {
    #[track_caller]
    fn index_mut(&mut self, slot: Slot) -> &mut Entry {
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
        match self.places.get_mut(slot as u32 as usize) {
            Some((uses, Some(entry))) if u64::from(*uses) == slot >> USES => entry,
            _ => not_held(slot),
        }
    }
}

#[cold]
#[track_caller]
fn not_held(slot: Slot) -> ! {
    panic!(
        "what is done concerns a delivery that is not held any more (place {}, use {})",
        slot as u32,
        slot >> USES
    )
}

fn held((uses, entry): &(u32, Option<Entry>), index: u32) -> Option<(Slot, &Entry)> {
    entry.as_ref().map(|entry| (slot(*uses, index), entry))
}

fn slot(uses: u32, index: u32) -> Slot {
    u64::from(uses) << USES | u64::from(index)
}
