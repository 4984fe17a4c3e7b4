//! Room: how much more may be held (invariant 9).
//!
//! A place is for what is in work, or could be. What waits for something else than a worker (for what is ahead of it
//! in its lane, for another with its key, for its retry, for the turn of suspects) takes bytes, and no place: else one
//! key that fails would keep all others out. Of these there may be only so many too. Before they take all that there
//! is, the partitions that most of them came from are told to bring no more; the others go on.

use super::entry::{Entry, Place};
use super::turns::Timer;
use super::{Command, Pipeline};
use crate::delivery::State;
use std::collections::{BTreeMap, BTreeSet};

/// Asked for again only when this part of the room is free, so that a full pipeline does not
/// fetch message by message.
const PART: usize = 4;
/// Between two looks at who waits, in milliseconds: each looks at everything that is held.
const LOOK_MS: u64 = 100;
/// It is looked sooner when so much more is held, in thousandths of what may be.
const STEP: usize = 50;
/// Of what may wait, in thousandths: more than this and partitions are held back, less than that and none is.
const MANY: usize = 500;
const FEW: usize = 250;

impl Pipeline {
    /// Asks the source for as much as there is room for.
    pub(super) fn request(&mut self) {
        self.hold_back_partitions();
        let (held, waiting) = (self.entries.len(), self.waiting());
        let places = self.rules.max_in_flight.saturating_sub(held.saturating_sub(waiting));
        let most = self.rules.max_in_flight.saturating_add(self.rules.max_waiting);
        let room = places.min(most.saturating_sub(held));
        let bytes = self.rules.max_in_flight_bytes.saturating_sub(self.entries.weight());
        let wanted = self.rules.max_in_flight.div_ceil(PART);
        let enough = room >= wanted && bytes >= self.rules.max_message_bytes;
        self.counts.waiting = waiting as u64;
        self.counts.held_back = !enough && waiting > 0 && places >= wanted;
        self.tell_waiting(waiting);
        // What goes back must be there before the source is read again, or it is overtaken.
        let busy = self.receiving.is_some() || self.leaving > 0;
        if busy || self.draining || !enough || self.now < self.paused_until {
            return;
        }
        self.receives += 1;
        self.receiving = Some(self.receives);
        self.out.command(Command::Receive { max: room, max_bytes: self.at_once(bytes) });
    }

    /// Of so many bytes, those that one receive may bring: from partitions no more than leaves time to hold one back.
    fn at_once(&self, bytes: usize) -> usize {
        let part = (self.rules.max_in_flight_bytes / PART).max(self.rules.max_message_bytes);
        if self.rules.source.cumulative { bytes.min(part) } else { bytes }
    }

    /// How many are held that no worker could start.
    fn waiting(&self) -> usize {
        self.lanes.behind() + self.entries.waiting()
    }

    fn waits(&self, entry: &Entry) -> bool {
        match entry.place() {
            Place::Lanes => entry.lane.is_some_and(|lane| self.lanes.is_out(lane)),
            Place::Twin | Place::Suspect => true,
            Place::Taken => entry.state == State::Waiting,
            Place::Leaving | Place::Out => false,
        }
    }

    /// Tells the source how many wait, once that is another number by an eighth of all places.
    fn tell_waiting(&mut self, waiting: usize) {
        // Where settling is by a watermark, that bounds what is handed over.
        let heeds = !self.rules.source.cumulative;
        if heeds && waiting.abs_diff(self.told_waiting) > self.rules.max_in_flight / 8 {
            self.told_waiting = waiting;
            self.out.command(self.holds());
        }
    }

    fn holds(&self) -> Command {
        Command::Holds { waiting: self.told_waiting, unwanted: self.unwanted.iter().copied().collect() }
    }

    /// Names the partitions of which nothing more is wanted for now, if it is time to look.
    fn hold_back_partitions(&mut self) {
        let waiting = self.waiting();
        let part = self.part(waiting, self.entries.weight());
        let may_be_many = waiting > 0 && part > MANY;
        let looks = self.rules.source.cumulative && (may_be_many || !self.unwanted.is_empty());
        if !looks || (self.now < self.looked_until && part < self.looked_part + STEP) {
            return;
        }
        self.looked_part = part;
        self.looked_until = self.at(LOOK_MS, Timer::Resume);
        let unwanted = self.crowded();
        if unwanted != self.unwanted || !unwanted.is_empty() {
            // Told again too: a partition may have gone and come back meanwhile.
            self.unwanted = unwanted;
            self.out.command(self.holds());
        }
    }

    /// The partitions that most of what waits came from, when it is much; those that it is no more much of are
    /// let go at half of that.
    fn crowded(&self) -> BTreeSet<u32> {
        let (mut all, mut by_partition) = ((0, 0), BTreeMap::<u32, (usize, usize)>::new());
        for entry in self.entries.iter().filter(|entry| self.waits(entry)) {
            let Some(position) = entry.position else { continue };
            for of in [&mut all, by_partition.entry(position.partition).or_default()] {
                *of = (of.0 + 1, of.1 + entry.weight);
            }
        }
        let all = self.part(all.0, all.1);
        let (many, few, count) = (all > MANY, all <= FEW, by_partition.len());
        let is_crowded = |(partition, (number, weight)): (u32, (usize, usize))| {
            let has_its_share = self.part(number, weight) * count * 2 >= all;
            let stays = many || (!few && self.unwanted.contains(&partition));
            (has_its_share && stays).then_some(partition)
        };
        by_partition.into_iter().filter_map(is_crowded).collect()
    }

    /// How much of what may wait this is, in thousandths.
    fn part(&self, number: usize, weight: usize) -> usize {
        let of = |this: usize, most: usize| this.saturating_mul(1_000) / most.max(1);
        of(number, self.rules.max_waiting).max(of(weight, self.rules.max_in_flight_bytes))
    }
}
