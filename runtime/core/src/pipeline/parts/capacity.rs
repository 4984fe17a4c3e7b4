//! How much may be held, and how much more that is (invariant 9).
//!
//! A place is for what is in work, or could be. What waits for something else than a worker (for what is
//! ahead of it in its lane, for another with its key, for its retry, for the turn of suspects) takes bytes,
//! and no place: else one key that fails would keep all others out. Of these there may be only so many too.
//! Before they take all that there is, the partitions that most of them came from are told to bring no
//! more; the others go on.

use crate::message::Time;
use crate::pipeline::{Command, Rules};
use std::collections::{BTreeMap, BTreeSet};

/// Asked for again only when this part of it is free, so that a full pipeline does not
/// fetch message by message.
const PART: usize = 4;
/// Between two looks at who waits, in milliseconds: each looks at everything that is held.
const LOOK_INTERVAL_MS: u64 = 100;
/// It is looked sooner when so much more is held, in thousandths of what may be.
const STEP: usize = 50;
/// Of what may wait, in thousandths: more than this and partitions are held back, less than that and none is.
const MANY: usize = 500;
const FEW: usize = 250;

/// What is held now.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub count: usize,
    /// Those of them that no worker could start.
    pub waiting: usize,
    /// Those that the next worker could.
    pub ready: usize,
    pub bytes: usize,
}

/// What may be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    pub count: usize,
    /// At once: no more than leaves time to hold a partition back.
    pub bytes: usize,
    /// It is worth a receive.
    pub is_enough: bool,
    /// It is not, because of what waits.
    pub is_held_back: bool,
}

#[derive(Debug)]
pub struct Capacity {
    max_in_flight: usize,
    max_waiting: usize,
    max_bytes: usize,
    max_message_bytes: usize,
    /// The source settles by watermarks: these bound what is handed over, and it has partitions to hold back.
    cumulative: bool,
    /// How many wait, as the source was told last; and of which partitions nothing is wanted.
    reported_waiting: usize,
    unwanted: BTreeSet<u32>,
    /// How many it may fetch ahead, as it was told last.
    reported_wanted: usize,
    /// Those that an operator has paused, of which nothing is wanted either.
    paused: BTreeSet<u32>,
    /// Until then nobody looks again which these are.
    looked_until: Time,
    /// How much was held then, in thousandths of what may be.
    looked_part: usize,
}

impl Capacity {
    pub fn new(rules: &Rules) -> Self {
        Self {
            max_in_flight: rules.max_in_flight,
            max_waiting: rules.max_waiting,
            max_bytes: rules.max_in_flight_bytes,
            max_message_bytes: rules.max_message_bytes,
            cumulative: rules.source.cumulative,
            reported_waiting: 0,
            unwanted: BTreeSet::new(),
            reported_wanted: usize::MAX,
            paused: BTreeSet::new(),
            looked_until: Time::default(),
            looked_part: 0,
        }
    }

    /// What may be received. No more than `worth` are to be held that only wait to be started.
    pub fn free(&self, held: Held, worth: usize) -> Free {
        let places = self.max_in_flight.saturating_sub(held.count.saturating_sub(held.waiting));
        let count = places.min(self.max_count().saturating_sub(held.count));
        let bytes = self.max_bytes.saturating_sub(held.bytes);
        let wanted = self.max_in_flight.div_ceil(PART);
        let is_enough = count >= wanted && bytes >= self.max_message_bytes;
        let is_held_back = !is_enough && held.waiting > 0 && places >= wanted;
        let count = count.min(worth.saturating_sub(held.ready));
        let is_enough = is_enough && count >= wanted.min(worth.div_ceil(PART)).max(1);
        let at_once = (self.max_bytes / PART).max(self.max_message_bytes);
        let bytes = if self.cumulative { bytes.min(at_once) } else { bytes };
        Free { count, bytes, is_enough, is_held_back }
    }

    /// The most that are held, whatever waits.
    pub fn max_count(&self) -> usize {
        self.max_in_flight.saturating_add(self.max_waiting)
    }

    /// Tells the source how many wait, once that is another number by an eighth of all places. Where
    /// settling is by a watermark, that bounds what is handed over.
    pub fn report_waiting(&mut self, waiting: usize) -> Option<Command> {
        if self.cumulative || waiting.abs_diff(self.reported_waiting) <= self.max_in_flight / 8 {
            return None;
        }
        self.reported_waiting = waiting;
        Some(self.holds())
    }

    /// Tells the source how many it may fetch ahead, once that is another number by an eighth. What settles
    /// by a watermark does not count receives.
    pub fn report_wanted(&mut self, most: usize) -> Option<Command> {
        let before = self.reported_wanted;
        let is_near = most > 1 && before > 1 && most.abs_diff(before) <= before / 8;
        if self.cumulative || most == before || is_near {
            return None;
        }
        self.reported_wanted = most;
        Some(Command::Wants { most })
    }

    fn holds(&self) -> Command {
        let unwanted = self.unwanted.union(&self.paused).copied().collect();
        Command::Holds { waiting: self.reported_waiting, unwanted }
    }

    /// Of these partitions nothing is wanted, whatever waits: told again, it also concerns those that were
    /// another's when it was told before.
    pub fn pause(&mut self, partitions: &BTreeSet<u32>) -> Command {
        self.paused.clone_from(partitions);
        self.holds()
    }

    /// Whether it is time to look of which partitions nothing more is wanted; and when it is again.
    pub fn looks(&mut self, held: Held, now: Time) -> Option<Time> {
        let part = self.part(held.waiting, held.bytes);
        let may_be_many = held.waiting > 0 && part > MANY;
        let looks = self.cumulative && (may_be_many || !self.unwanted.is_empty());
        if !looks || (now < self.looked_until && part < self.looked_part + STEP) {
            return None;
        }
        self.looked_part = part;
        self.looked_until = now.plus(LOOK_INTERVAL_MS);
        Some(self.looked_until)
    }

    /// Of each partition so many wait, of such a weight.
    pub fn looked(&mut self, waiting: BTreeMap<u32, (usize, usize)>) -> Option<Command> {
        let unwanted = self.crowded(waiting);
        if unwanted == self.unwanted && unwanted.is_empty() {
            return None;
        }
        // Told again too: a partition may have gone and come back meanwhile.
        self.unwanted = unwanted;
        Some(self.holds())
    }

    /// The partitions that most of what waits came from, when it is much; those that it is no more much of
    /// are let go at half of that.
    fn crowded(&self, waiting: BTreeMap<u32, (usize, usize)>) -> BTreeSet<u32> {
        let all = waiting.values().fold((0, 0), |all, of| (all.0 + of.0, all.1 + of.1));
        let all = self.part(all.0, all.1);
        let (many, few, count) = (all > MANY, all <= FEW, waiting.len());
        let is_crowded = |(partition, (number, weight)): (u32, (usize, usize))| {
            let has_its_share = self.part(number, weight) * count * 2 >= all;
            let stays = many || (!few && self.unwanted.contains(&partition));
            (has_its_share && stays).then_some(partition)
        };
        waiting.into_iter().filter_map(is_crowded).collect()
    }

    /// How much of what may wait this is, in thousandths.
    fn part(&self, number: usize, weight: usize) -> usize {
        let of = |this: usize, most: usize| this.saturating_mul(1_000) / most.max(1);
        of(number, self.max_waiting).max(of(weight, self.max_bytes))
    }
}
