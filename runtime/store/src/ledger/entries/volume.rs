//! Which segments may have a key: a table in memory with a short fingerprint of each, in lines of the
//! processor's cache.
//!
//! To ask it for a key touches one line, most often, and its answer names the segment; of keys that are in
//! none about one in three hundred passes.

use super::segment::Summary;
use crate::ledger::key::Key;
use crate::numbers::signed;
use std::hash::{BuildHasher, RandomState};

/// Filled from the front.
type Line = [u16; 16];
/// Keys of a line, on average: few of them spill into the next one.
const KEYS: usize = 11;
/// Bits of a slot that are the fingerprint's. Those above are the segment's, from 1 on: a slot that is
/// empty is 0.
const PRINT_BITS: u32 = 12;
const PRINT: u16 = (1 << PRINT_BITS) - 1;
/// Segments of a volume: as many as a slot can name.
const SEGMENTS: usize = 15;
/// Keys that a volume is made for, at most: its table has four MB then.
const MOST: usize = SEGMENTS * super::FULL;

/// Some segments in a row.
#[derive(Debug)]
pub struct Volume {
    /// The number of the first.
    first: i64,
    /// When the last key of each was completed, in milliseconds since the epoch.
    last_ms: Vec<u64>,
    /// The lowest and the highest key.
    bounds: (u128, u128),
    lines: Vec<Line>,
    /// Keys in it, and keys that it takes.
    keys: usize,
    room: usize,
}

/// What a volume is asked for.
struct Probe {
    number: u128,
    slot: Slot,
}

/// Where the search for a hash begins, and what is looked for.
struct Slot {
    /// In a table of 2^32 lines.
    place: u64,
    print: u16,
}

impl Slot {
    /// Nobody outside can know: who could choose keys that come together would make the table slow.
    #[allow(clippy::cast_possible_truncation, reason = "its lowest bits are wanted")]
    fn of(hash: u32, secret: &RandomState) -> Self {
        let hash = secret.hash_one(hash);
        Self { place: hash >> 32, print: hash as u16 & PRINT }
    }

    #[allow(clippy::cast_possible_truncation, reason = "it is less than `lines`")]
    fn line(&self, lines: usize) -> usize {
        ((self.place * lines as u64) >> 32) as usize
    }
}

/// By bytes that are a digest's in every key.
pub fn hash_of(key: &Key) -> u32 {
    u32::from_le_bytes([key[12], key[13], key[14], key[15]])
}

impl Volume {
    /// An empty one, that begins with this segment and is made for so many keys.
    fn new(segment: &Summary, keys: usize) -> Self {
        let room = keys.min(MOST).max(segment.hashes.len());
        let lines = vec![Line::default(); room.div_ceil(KEYS)];
        Self { first: segment.number, last_ms: Vec::new(), bounds: (u128::MAX, 0), lines, keys: 0, room }
    }

    fn takes(&self, segment: &Summary) -> bool {
        let next = self.first + signed(self.last_ms.len());
        self.last_ms.len() < SEGMENTS
            && next == segment.number
            && self.keys + segment.hashes.len() <= self.room
    }

    fn add(&mut self, segment: &Summary, secret: &RandomState) {
        self.last_ms.push(segment.last_ms);
        // There are `SEGMENTS` of them at most.
        let name = u16::try_from(self.last_ms.len()).unwrap_or(u16::MAX) << PRINT_BITS;
        let (first, last) = segment.bounds;
        let (first, last) = (u128::from_be_bytes(first), u128::from_be_bytes(last));
        self.bounds = (self.bounds.0.min(first), self.bounds.1.max(last));
        self.keys += segment.hashes.len();
        for hash in &segment.hashes {
            let wanted = Slot::of(*hash, secret);
            let mut at = wanted.line(self.lines.len());
            // There are more slots than keys, so that one is free.
            let slot = loop {
                match self.lines[at].iter_mut().find(|slot| **slot == 0) {
                    Some(slot) => break slot,
                    None => at = (at + 1) % self.lines.len(),
                }
            };
            *slot = name | wanted.print;
        }
    }

    /// Notes for each key the segments that may have it, the last first: the place of the key, and the
    /// number of the segment. One key after the other without waiting for the memory: hardly any is looked
    /// at twice.
    fn note_candidates(&self, probes: &[Probe], noted: &mut Vec<(usize, i64)>) {
        for (place, probe) in probes.iter().enumerate() {
            if probe.number < self.bounds.0 || self.bounds.1 < probe.number {
                continue;
            }
            let (print, at) = (probe.slot.print, probe.slot.line(self.lines.len()));
            let line = &self.lines[at];
            let same = line.iter().fold(false, |same, slot| same | (slot & PRINT == print));
            if same || is_full(line) {
                let found = self.find(print, at);
                let names = (1..=signed(SEGMENTS)).rev().filter(|name| found >> name & 1 == 1);
                noted.extend(names.map(|name| (place, self.first + name - 1)));
            }
        }
    }

    /// The names that have this fingerprint, as bits, from this line on.
    fn find(&self, print: u16, mut at: usize) -> u32 {
        let mut found = 0;
        loop {
            let line = &self.lines[at];
            let same = line.iter().filter(|slot| **slot != 0 && **slot & PRINT == print);
            found = same.fold(found, |found, slot| found | 1 << (slot >> PRINT_BITS));
            if !is_full(line) {
                return found;
            }
            at = (at + 1) % self.lines.len();
        }
    }
}

fn is_full(line: &Line) -> bool {
    line[line.len() - 1] != 0
}

/// All segments of a pipeline, in their order.
#[derive(Debug, Default)]
pub struct Volumes {
    /// The oldest first.
    all: Vec<Volume>,
    /// Segments before this one are gone.
    oldest: i64,
    secret: RandomState,
}

impl Volumes {
    /// Adds the next one. `more` keys are known to follow.
    pub fn add(&mut self, segment: &Summary, more: usize) {
        if self.all.is_empty() {
            self.oldest = segment.number;
        }
        if !self.all.last().is_some_and(|last| last.takes(segment)) {
            // Room for as much again as there is: memory is in proportion to what is kept.
            let kept = self.all.iter().map(|volume| volume.keys).sum();
            self.all.push(Volume::new(segment, segment.hashes.len() + more.max(kept)));
        }
        if let Some(last) = self.all.last_mut() {
            last.add(segment, &self.secret);
        }
    }

    /// The number that the next one gets.
    pub fn next(&self) -> i64 {
        self.all.last().map_or(0, |last| last.first + signed(last.last_ms.len()))
    }

    /// The oldest one that is there, and when its last key was completed.
    pub fn oldest(&self) -> Option<(i64, u64)> {
        let volume = self.all.first()?;
        let last_ms = volume.last_ms.get(usize::try_from(self.oldest - volume.first).ok()?)?;
        Some((self.oldest, *last_ms))
    }

    /// The oldest one is gone.
    pub fn removed_oldest(&mut self) {
        self.oldest += 1;
        if self.all.first().is_some_and(|v| v.first + signed(v.last_ms.len()) == self.oldest) {
            self.all.remove(0);
            self.oldest = self.all.first().map_or(self.oldest, |next| next.first);
        }
    }

    /// The segments that may have one of the keys: the place of the key, and the number of the segment. For
    /// each key the last one first.
    pub fn candidates<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Vec<(usize, i64)> {
        let probe = |key: &Key| Probe {
            number: u128::from_be_bytes(*key),
            slot: Slot::of(hash_of(key), &self.secret),
        };
        let probes: Vec<Probe> = keys.into_iter().map(probe).collect();
        let mut noted = Vec::new();
        self.all.iter().rev().for_each(|volume| volume.note_candidates(&probes, &mut noted));
        noted.retain(|(_, number)| *number >= self.oldest);
        noted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::key::digest;

    fn key(n: u64) -> Key {
        digest(&n.to_le_bytes())
    }

    fn segment(number: i64, keys: std::ops::Range<u64>) -> Summary {
        let mut keys: Vec<Key> = keys.map(key).collect();
        keys.sort_unstable();
        let bounds = (keys[0], keys[keys.len() - 1]);
        Summary { number, bounds, last_ms: 7, hashes: keys.iter().map(hash_of).collect() }
    }

    fn candidates(volumes: &Volumes, n: u64) -> Vec<i64> {
        volumes.candidates([&key(n)]).into_iter().map(|(_, number)| number).collect()
    }

    #[test]
    fn the_segment_of_a_key_is_named_and_hardly_any_other() {
        let mut volumes = Volumes::default();
        // Of all sizes: what is idle closes small ones.
        let sizes = [1, 30, 2_000, 10, 100_000, 3].into_iter().cycle();
        let mut first = 0;
        let mut all = Vec::new();
        for (number, size) in (0..100).zip(sizes) {
            volumes.add(&segment(number, first..first + size), 0);
            all.push((number, first..first + size));
            first += size;
        }
        for (number, keys) in all {
            assert!(keys.step_by(97).all(|n| candidates(&volumes, n).contains(&number)), "{number}");
        }
        let strangers: Vec<Key> = (1 << 40..).take(100_000).map(key).collect();
        let passed = volumes.candidates(&strangers).len();
        let most = 600 * volumes.all.len();
        assert!(passed < most, "{passed} of 100000 others, with {} volumes", volumes.all.len());
    }

    #[test]
    fn what_is_gone_is_not_named_and_its_memory_returns() {
        let mut volumes = Volumes::default();
        for number in 0..40 {
            let first = number as u64 * 10;
            volumes.add(&segment(number, first..first + 10), 0);
        }
        let before = volumes.all.len();
        for number in 0..39 {
            assert_eq!(volumes.oldest(), Some((number, 7)));
            volumes.removed_oldest();
        }
        assert!(volumes.all.len() < before);
        assert_eq!((candidates(&volumes, 385), volumes.next()), (Vec::new(), 40));
        assert_eq!(candidates(&volumes, 395), [39]);
        volumes.removed_oldest();
        assert_eq!((volumes.oldest(), volumes.all.len()), (None, 0));
    }

    #[test]
    fn what_is_read_at_the_start_takes_no_more_room_than_it_needs() {
        let mut volumes = Volumes::default();
        for number in 0..30 {
            let first = number as u64 * 1_000;
            volumes.add(&segment(number, first..first + 1_000), (29 - number as usize) * 1_000);
        }
        let lines: usize = volumes.all.iter().map(|volume| volume.lines.len()).sum();
        assert!((2_727..=5_600).contains(&lines), "{lines} lines of 11 keys for 30000");
    }
}
