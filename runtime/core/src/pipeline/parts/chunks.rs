//! Chunks: what a worker takes at once, from the claim to its last outcome.

use super::entry::Slot;
use crate::chunk_size::ChunkSizer;
use std::collections::BTreeMap;

/// The chunks in work, and the workers that are free for more.
#[derive(Debug)]
pub struct Chunks {
    in_work: BTreeMap<u64, Chunk>,
    last: u64,
    /// Workers that have a chunk.
    busy: usize,
    workers: usize,
    sizer: ChunkSizer,
    /// Messages of chunks in work that were not reported yet.
    awaited: usize,
}

/// Messages that were claimed together and run on one instance, one after another.
#[derive(Debug)]
struct Chunk {
    /// Until the claim is answered the order of its items, then that of its work. A place that
    /// was reported is empty, so that a second report finds nothing.
    slots: Vec<Option<Slot>>,
    /// Those not reported yet.
    left: usize,
    /// The worker is free.
    finished: bool,
}

impl Chunks {
    pub fn new(workers: usize, max: usize, chunk_us: u64) -> Self {
        let sizer = ChunkSizer::new(max, chunk_us);
        Self { in_work: BTreeMap::new(), last: 0, busy: 0, workers, sizer, awaited: 0 }
    }

    pub fn free_workers(&self) -> usize {
        self.workers.saturating_sub(self.busy)
    }

    /// How many to take for the next chunk, when so many could be.
    pub fn next_size(&self, ready: usize) -> usize {
        self.sizer.next(ready, self.free_workers())
    }

    /// A worker has taken these, and the ledger is to be asked. The number of the chunk.
    pub fn begin(&mut self, slots: Vec<Slot>) -> u64 {
        self.last += 1;
        self.put(self.last, slots);
        self.last
    }

    /// The ledger has answered for all of them. None when there is no such chunk.
    pub fn claimed(&mut self, number: u64) -> Option<Vec<Slot>> {
        let chunk = self.in_work.remove(&number)?;
        self.busy -= 1;
        self.awaited -= chunk.left;
        Some(chunk.slots.into_iter().flatten().collect())
    }

    /// These of the chunk were granted: its worker has them.
    pub fn granted(&mut self, number: u64, slots: Vec<Slot>) {
        self.put(number, slots);
    }

    fn put(&mut self, number: u64, slots: Vec<Slot>) {
        self.busy += 1;
        let left = slots.len();
        self.awaited += left;
        let slots = slots.into_iter().map(Some).collect();
        self.in_work.insert(number, Chunk { slots, left, finished: false });
    }

    /// A message was reported, by its place. None when it was before, or when there is no such message.
    pub fn reported(&mut self, number: u64, place: usize) -> Option<Slot> {
        let chunk = self.in_work.get_mut(&number)?;
        let slot = chunk.slots.get_mut(place)?.take()?;
        chunk.left -= 1;
        self.awaited -= 1;
        if chunk.finished && chunk.left == 0 {
            self.in_work.remove(&number);
        }
        Some(slot)
    }

    /// Its worker is free, after so many microseconds; what it did not report is still to be reported. None
    /// when there is no such chunk, or it was finished before.
    pub fn finished(&mut self, number: u64, micros: u64) -> Option<Vec<usize>> {
        let chunk = self.in_work.get_mut(&number).filter(|chunk| !chunk.finished)?;
        chunk.finished = true;
        self.busy -= 1;
        self.sizer.observe(chunk.slots.len(), micros);
        let unreported =
            chunk.slots.iter().enumerate().filter_map(|(place, slot)| slot.map(|_| place)).collect();
        if chunk.left == 0 {
            self.in_work.remove(&number);
        }
        Some(unreported)
    }

    pub fn is_in_work(&self, number: u64) -> bool {
        self.in_work.contains_key(&number)
    }

    pub fn is_empty(&self) -> bool {
        self.in_work.is_empty()
    }

    /// Messages whose claim or outcome is awaited.
    pub fn awaited(&self) -> usize {
        self.awaited
    }

    /// The messages of a chunk that are not reported yet.
    pub fn slots_of(&self, number: u64) -> impl Iterator<Item = Slot> + '_ {
        self.in_work.get(&number).into_iter().flat_map(|chunk| chunk.slots.iter().copied().flatten())
    }

    /// All messages that are awaited, each with its chunk.
    pub fn all(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let of = |(number, chunk): (&u64, &Chunk)| (*number, chunk.slots.clone());
        self.in_work
            .iter()
            .map(of)
            .flat_map(|(number, slots)| slots.into_iter().flatten().map(move |s| (number, s)))
    }
}
