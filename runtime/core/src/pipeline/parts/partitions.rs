//! Partitions that a source takes back, and what may be committed of each: a watermark for its newest
//! assignment alone. What came with an assignment that has ended settles nothing.

use super::entry::{Entry, Slot};
use crate::message::{Position, Receipt};
use crate::watermark::Watermark;
use std::collections::BTreeMap;

/// The partitions of a source that settles by watermarks.
#[derive(Debug, Default)]
pub struct Partitions {
    progress: BTreeMap<u32, PartitionProgress>,
    /// The last assignment of each partition that has ended.
    ended: BTreeMap<u32, u32>,
    leaving: Vec<Leaving>,
    /// A commit of a watermark failed, and is to be repeated.
    recommits: bool,
}

/// How far one assignment of a partition has come.
#[derive(Debug)]
struct PartitionProgress {
    /// Only what was received with it counts.
    assignment: u32,
    open: Watermark<Option<Slot>>,
    /// The last offset that it has passed, and its receipt.
    passed: Option<(u64, Receipt)>,
    /// While it leaves, what lies from this offset on goes back.
    drain_limit: u64,
}

/// A partition on its way to another member.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    partition: u32,
    assignment: u32,
    /// The first batch that cannot settle anything of it any more; none while it is in work.
    after: Option<u64>,
}

/// What becomes of a delivery that leaves, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainFate {
    /// It is being finished.
    InWork,
    /// It can be started in time.
    Open,
    /// It goes back unfinished.
    Back,
}

impl PartitionProgress {
    fn new(assignment: u32) -> Self {
        Self { assignment, open: Watermark::default(), passed: None, drain_limit: u64::MAX }
    }

    fn held(&self, from: u64, to: u64) -> Vec<Slot> {
        self.open.within(from..to).filter_map(|(_, slot)| slot).collect()
    }
}

impl Partitions {
    /// Whether nothing has come with so late an assignment yet, and something with an earlier one.
    pub fn is_first_of(&self, partition: u32, assignment: u32) -> bool {
        self.progress.get(&partition).is_some_and(|progress| progress.assignment < assignment)
    }

    /// Whether something has come with a later assignment than this.
    pub fn is_newer_than(&self, partition: u32, assignment: u32) -> bool {
        self.progress.get(&partition).is_some_and(|progress| progress.assignment > assignment)
    }

    /// A record has come, and is held here as this.
    pub fn received(&mut self, position: Position, assignment: u32, receipt: Receipt, slot: Option<Slot>) {
        let fresh = || PartitionProgress::new(assignment);
        let progress = self.progress.entry(position.partition).or_insert_with(fresh);
        progress.open.received(position.offset, receipt, slot);
    }

    /// A record is settled: the receipt to commit, if the watermark has moved (invariant 4).
    pub fn settled(&mut self, position: Position, assignment: u32) -> Option<Receipt> {
        let progress = self.newest_mut(position.partition, assignment)?;
        let passed = progress.open.settled(position.offset)?;
        progress.passed = Some(passed);
        Some(passed.1)
    }

    fn newest_mut(&mut self, partition: u32, assignment: u32) -> Option<&mut PartitionProgress> {
        self.progress.get_mut(&partition).filter(|progress| progress.assignment == assignment)
    }

    fn newest(&self, entry: &Entry) -> Option<&PartitionProgress> {
        let progress = self.progress.get(&entry.position?.partition)?;
        (progress.assignment == entry.assignment).then_some(progress)
    }

    /// Whether an assignment has ended.
    pub fn has_ended(&self, partition: u32, assignment: u32) -> bool {
        self.ended.get(&partition).is_some_and(|ended| assignment <= *ended)
    }

    /// Whether the assignment that a delivery came with has ended.
    pub fn is_revoked(&self, entry: &Entry) -> bool {
        !self.ended.is_empty()
            && entry.position.is_some_and(|p| self.has_ended(p.partition, entry.assignment))
    }

    /// Nothing of these is taken any more.
    pub fn end(&mut self, ended: &[(u32, u32)]) {
        for (partition, assignment) in ended {
            let last = self.ended.entry(*partition).or_default();
            *last = (*last).max(*assignment);
        }
    }

    /// An assignment that has ended is to be let go once nothing of it is in work.
    pub fn leaves_in_order(&mut self, partition: u32, assignment: u32) {
        self.leaving.push(Leaving { partition, assignment, after: None });
    }

    /// Those of which nothing is held, once their last commit was answered: `next` is the number of the
    /// next batch, and `oldest` that of the first one without an answer.
    pub fn let_go(&mut self, next: u64, oldest: Option<u64>, is_held: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut gone = Vec::new();
        self.leaving.retain_mut(|leaving| {
            if is_held(leaving.partition) {
                return true;
            }
            let after = *leaving.after.get_or_insert(next);
            let over = oldest.is_none_or(|oldest| oldest >= after);
            if over {
                gone.push(*leaving);
            }
            !over
        });
        for Leaving { partition, assignment, .. } in &gone {
            self.forget(*partition, *assignment);
        }
        gone.into_iter().map(|leaving| leaving.partition).collect()
    }

    pub fn nothing_leaves(&self) -> bool {
        self.leaving.is_empty()
    }

    /// What came with this assignment counts for nothing any more: all that may be held of it.
    pub fn forget(&mut self, partition: u32, assignment: u32) -> Vec<Slot> {
        self.leaving.retain(|l| l.partition != partition || l.assignment > assignment);
        if self.progress.get(&partition).is_none_or(|progress| progress.assignment > assignment) {
            return Vec::new();
        }
        let forgotten = self.progress.remove(&partition);
        forgotten.map_or_else(Vec::new, |progress| progress.held(0, u64::MAX))
    }

    /// Whether a delivery is still to be finished while its partition leaves: something behind it is done.
    pub fn fills_gap(&self, entry: &Entry) -> bool {
        let before =
            |position: Position, progress: &PartitionProgress| position.offset < progress.drain_limit;
        entry
            .position
            .is_some_and(|position| self.newest(entry).is_some_and(|progress| before(position, progress)))
    }

    /// The partitions that a pipeline has.
    pub fn all(&self) -> Vec<u32> {
        self.progress.keys().copied().collect()
    }

    /// A partition leaves: the limit is at the last offset that is done or in work, and not above one that
    /// goes back. All that may be held of it.
    pub fn limit(&mut self, partition: u32, fate: impl Fn(Slot) -> Option<DrainFate>) -> Vec<Slot> {
        let Some(progress) = self.progress.get_mut(&partition) else { return Vec::new() };
        let (mut done, mut limit) = (progress.open.last_settled().unwrap_or(0), progress.drain_limit);
        for (offset, slot) in progress.open.within(0..u64::MAX) {
            match slot.and_then(&fate) {
                Some(DrainFate::InWork) => done = offset.max(done),
                Some(DrainFate::Back) => limit = offset.min(limit),
                Some(DrainFate::Open) | None => {}
            }
        }
        progress.drain_limit = done.min(limit);
        progress.held(0, u64::MAX)
    }

    /// A delivery goes back unfinished, and with it what was not started behind it: all that may be held
    /// from there to where the limit was. Each is told once, however often the limit falls.
    pub fn lower_limit(&mut self, position: Position, assignment: u32) -> Vec<Slot> {
        let Some(progress) = self.newest_mut(position.partition, assignment) else { return Vec::new() };
        let before = progress.drain_limit;
        if position.offset >= before {
            return Vec::new();
        }
        progress.drain_limit = position.offset;
        progress.held(position.offset, before)
    }

    /// What keeps each watermark where it is: its partition, its offset, and who has it.
    pub fn blocking(&self) -> impl Iterator<Item = (u32, u64, Slot)> + '_ {
        self.progress.iter().filter_map(|(partition, progress)| {
            Some((*partition, progress.open.first()?, progress.open.first_holder()??))
        })
    }

    /// A commit has failed; whether that is news.
    pub fn commit_failed(&mut self) -> bool {
        !std::mem::replace(&mut self.recommits, true)
    }

    /// The newest commit of each partition, to repeat it: never an older one (invariant 4). Partition,
    /// assignment and receipt.
    pub fn recommit(&mut self) -> Vec<(u32, u32, Receipt)> {
        self.recommits = false;
        let of = |(partition, progress): (&u32, &PartitionProgress)| {
            progress.passed.map(|(_, receipt)| (*partition, progress.assignment, receipt))
        };
        self.progress.iter().filter_map(of).collect()
    }

    /// Whether a commit is to be repeated.
    pub fn recommits(&self) -> bool {
        self.recommits
    }

    /// Whether what a watermark has passed may still be committed: its assignment is not another's.
    pub fn may_commit(&self, partition: u32, assignment: u32) -> bool {
        self.progress.get(&partition).is_some_and(|progress| progress.assignment == assignment)
    }

    /// The last offset that a watermark has passed, and the first that it has not.
    pub fn passed_and_open(&self, partition: u32) -> (Option<u64>, Option<u64>) {
        let progress = self.progress.get(&partition);
        let passed = progress.and_then(|progress| progress.passed).map(|(offset, _)| offset);
        (passed, progress.and_then(|progress| progress.open.first()))
    }

    /// Who has what is open of an assignment, if that is the newest one of its partition.
    pub fn holder(&self, entry: &Entry) -> Option<Slot> {
        let offset = entry.position?.offset;
        self.newest(entry)?.open.within(offset..offset.saturating_add(1)).next()?.1
    }
}
