//! What of a queue may be delivered now: cursor, leases, lanes. In memory, for the owner only.

use std::collections::{BTreeSet, HashMap, VecDeque};

#[cfg(test)]
mod tests;

/// Deliveries of one lane that may be out at once, so that a hot key cannot fill a worker.
pub const PER_LANE: usize = 64;

/// Bytes of lanes that are kept in memory. Beyond that, a lane that only waits for its retry is left to the
/// disk, which has all that is known of it, and recalled when a row of it is met.
const ROOM: usize = 32 << 20;

/// What a lane takes besides its key: places in two tables, and the first rows that block it.
const LANE: usize = 256;

/// Rows are named by their id.
type Id = u64;

#[derive(Debug)]
pub struct Sched {
    /// The next row of the fresh scan.
    pub cursor: Id,
    /// Where the scan of due rows has come to: when, and which row.
    pub due: (u64, Id),
    /// Rows that are out, with their key.
    leased: HashMap<Id, Option<Box<[u8]>>>,
    /// Rows without a key that were given back: delivered again first.
    offered: BTreeSet<Id>,
    lanes: HashMap<Box<[u8]>, Lane>,
    /// Lanes with parked rows that may be delivered.
    open: VecDeque<Box<[u8]>>,
    /// Bytes of `lanes`, and how many there may be.
    bytes: usize,
    pub room: usize,
    /// Lanes that were left to the disk since it was last known that there are none.
    left: bool,
    /// Those of them that may wait for nothing any more.
    doubtful: Vec<Box<[u8]>>,
}

impl Default for Sched {
    fn default() -> Self {
        Self {
            cursor: 0,
            due: (0, 0),
            leased: HashMap::new(),
            offered: BTreeSet::new(),
            lanes: HashMap::new(),
            open: VecDeque::new(),
            bytes: 0,
            room: ROOM,
            left: false,
            doubtful: Vec::new(),
        }
    }
}

/// What the disk knows of a lane of which nothing is out.
#[derive(Debug, Default)]
pub struct Recalled {
    /// Rows that wait for a retry.
    pub blocked: Vec<Id>,
    /// The first row before the cursor that waits for nothing but its lane.
    pub parked: Option<Id>,
}

#[derive(Debug, Default)]
struct Lane {
    out: usize,
    /// Rows from here on, and before the cursor, wait for the lane.
    parked: Option<Id>,
    /// Rows that wait on disk for a retry: nothing of the lane passes them.
    blocked: BTreeSet<Id>,
    queued: bool,
}

impl Lane {
    fn is_open(&self) -> bool {
        self.blocked.is_empty() && self.out < PER_LANE
    }

    fn park(&mut self, id: Id) {
        self.parked = Some(self.parked.map_or(id, |p| p.min(id)));
    }
}

impl Sched {
    /// Begins anew: nothing is out, and nothing is known.
    pub fn begin(&mut self, cursor: Id) {
        *self = Self { cursor, room: self.room, ..Self::default() };
    }

    /// Whether a row is out.
    pub fn is_leased(&self, id: Id) -> bool {
        self.leased.contains_key(&id)
    }

    /// A row that waits for a retry, found at the start.
    pub fn blocked(&mut self, id: Id, key: &[u8]) {
        self.lane(key).blocked.insert(id);
        self.leave(key);
    }

    /// Whether the disk may know more of a lane than memory does: to be asked, and told to `recall`, before
    /// a row of it is taken.
    pub fn is_left(&self, key: &[u8]) -> bool {
        self.left && !self.lanes.contains_key(key)
    }

    /// Takes a lane back from the disk.
    pub fn recall(&mut self, key: &[u8], known: Recalled) {
        if known.blocked.is_empty() && known.parked.is_none() {
            return;
        }
        let lane = self.lane(key);
        lane.blocked.extend(known.blocked);
        known.parked.into_iter().for_each(|id| lane.park(id));
        self.open(key);
    }

    /// Whether there is no room for more lanes.
    pub fn is_crowded(&self) -> bool {
        self.bytes > self.room
    }

    /// Nothing waits for a retry any more, here or on disk.
    pub fn none_waits(&mut self) {
        self.left = false;
    }

    /// Leaves a lane to the disk that only waits, if there is no room for it: its retry is met there when
    /// it is due.
    fn leave(&mut self, key: &[u8]) {
        let waits = |lane: &Lane| lane.out == 0 && !lane.queued && !lane.blocked.is_empty();
        if !self.is_crowded() || !self.lanes.get(key).is_some_and(waits) {
            return;
        }
        self.remove(key);
        if !std::mem::replace(&mut self.left, true) {
            tracing::info!(
                "more keys wait for a retry than memory has room for: the rest of them is looked up on disk"
            );
        }
    }

    /// Lanes in memory.
    #[cfg(test)]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Takes a row that the fresh scan met, or leaves it to its lane.
    pub fn take_fresh(&mut self, id: Id, key: Option<&[u8]>) -> bool {
        if let Some(key) = key {
            let lane = self.lane(key);
            if !lane.is_open() || lane.parked.is_some() {
                lane.park(id);
                self.leave(key);
                return false;
            }
        }
        self.lease(id, key);
        true
    }

    /// Takes a row that is not out and whose wait is over. One that was sent with a delay joins its
    /// lane only now.
    pub fn take_due(&mut self, id: Id, key: Option<&[u8]>) -> bool {
        if let Some(key) = key {
            let lane = self.lane(key);
            lane.blocked.remove(&id);
            if !lane.is_open() || lane.parked.is_some_and(|p| p < id) {
                self.park(key, id);
                return false;
            }
        }
        self.lease(id, key);
        if let Some(key) = key {
            self.open(key);
        }
        true
    }

    /// Takes a parked row of a lane that `next_open` gave.
    pub fn take_parked(&mut self, id: Id, key: &[u8]) {
        self.lease(id, Some(key));
    }

    /// The first row that was given back. It stays so until it is taken, or gone.
    pub fn first_offered(&self) -> Option<Id> {
        self.offered.first().copied()
    }

    /// Takes a row that was given back.
    pub fn take_offered(&mut self, id: Id) {
        self.offered.remove(&id);
        self.lease(id, None);
    }

    /// A row that was given back waits on.
    pub fn offer(&mut self, id: Id) {
        self.offered.insert(id);
    }

    /// A row that was given back is not there any more.
    pub fn lost_offered(&mut self, id: Id) {
        self.offered.remove(&id);
    }

    /// A row that was just taken could not be read. Whoever met it meets it again: it is where it was.
    pub fn untake(&mut self, id: Id) {
        self.end(id);
    }

    /// The next lane with parked rows that may be delivered: its key, its first row, and how many.
    /// The rows are taken to be delivered all: say `park` for the rest.
    pub fn next_open(&mut self) -> Option<(Box<[u8]>, Id, usize)> {
        while let Some(key) = self.open.pop_front() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.queued = false;
            // It may have closed since; its rows wait until it opens again.
            if lane.is_open()
                && let Some(first) = lane.parked.take()
            {
                let room = PER_LANE - lane.out;
                return Some((key, first, room));
            }
            self.leave(&key);
        }
        None
    }

    /// Leaves rows of a lane, from `id` on, for later.
    pub fn park(&mut self, key: &[u8], id: Id) {
        self.lane(key).park(id);
        self.open(key);
        self.leave(key);
    }

    /// A lane was read up to the cursor.
    pub fn caught_up(&mut self, key: &[u8]) {
        self.open(key);
    }

    /// A row is settled.
    pub fn gone(&mut self, id: Id) {
        self.end(id).into_iter().for_each(|key| self.leave(&key));
    }

    /// A row is removed, whether it was out or waited: its lane does not wait for it any more. Where the
    /// lane is left to the disk nothing else would tell: no row of it may ever be due.
    pub fn removed(&mut self, id: Id, key: &[u8]) {
        if self.is_leased(id) {
            return self.gone(id);
        }
        if self.is_left(key) {
            self.doubtful.push(key.into());
        } else if let Some(lane) = self.lanes.get_mut(key) {
            lane.blocked.remove(&id);
            self.open(key);
        }
    }

    /// A lane that was left to the disk, and may wait for nothing any more: to be recalled. It stays so
    /// until it is `known`.
    pub fn doubtful(&self) -> Option<Box<[u8]>> {
        self.doubtful.last().cloned()
    }

    /// The doubtful lane was recalled.
    pub fn known(&mut self) {
        self.doubtful.pop().into_iter().for_each(|key| self.leave(&key));
    }

    /// Rows that a lane waits for, as far as memory knows.
    pub fn waits_for(&self, key: &[u8]) -> Vec<Id> {
        self.lanes.get(key).map(|lane| lane.blocked.iter().copied().collect()).unwrap_or_default()
    }

    /// A row waits on disk for its retry: so does its lane.
    pub fn delayed(&mut self, id: Id) {
        // A short wait may be over already, and the scan of due rows past it.
        self.due = (0, 0);
        if let Some(key) = self.end(id) {
            self.lane(&key).blocked.insert(id);
            self.leave(&key);
        }
    }

    /// A row is to be delivered again, before what follows it.
    pub fn back(&mut self, id: Id) {
        if !self.is_leased(id) {
            return;
        }
        match self.end(id) {
            Some(key) => self.park(&key, id),
            None => self.offer(id),
        }
    }

    /// Whether the end of a delivery may let another go.
    pub fn has_lanes(&self) -> bool {
        !self.lanes.is_empty()
    }

    fn lane(&mut self, key: &[u8]) -> &mut Lane {
        if !self.lanes.contains_key(key) {
            self.lanes.insert(key.into(), Lane::default());
            self.bytes += key.len() + LANE;
        }
        self.lanes.entry(key.into()).or_default()
    }

    fn lease(&mut self, id: Id, key: Option<&[u8]>) {
        if let Some(key) = key {
            self.lane(key).out += 1;
        }
        self.leased.insert(id, key.map(Into::into));
    }

    /// Ends a lease; the row's key, if it has one.
    fn end(&mut self, id: Id) -> Option<Box<[u8]>> {
        let key = self.leased.remove(&id)??;
        let lane = self.lanes.get_mut(&key)?;
        lane.out = lane.out.saturating_sub(1);
        self.open(&key);
        Some(key)
    }

    /// Notes that a lane may have something to deliver, and forgets one that has nothing at all.
    fn open(&mut self, key: &[u8]) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.parked.is_some() {
            if lane.is_open() && !lane.queued {
                lane.queued = true;
                self.open.push_back(key.into());
            }
        } else if lane.out == 0 && lane.blocked.is_empty() {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if self.lanes.remove(key).is_some() {
            self.bytes -= key.len() + LANE;
        }
    }
}
