//! What is to be done, in batches: one of each kind a flush, or of completions some. And whom each answer
//! is for.

use super::calls;
use super::entry::Slot;
use crate::message::Receipt;
use crate::outcome::Letter;
use crate::pipeline::Command;
use crate::ports::{Completion, Release, Settle};
use std::collections::BTreeMap;

/// Completions in one batch, at most: the ledger answers the first while it writes the next.
const PART: usize = 128;

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A delivery.
    Delivery(Slot),
    /// A watermark: the partition, and its assignment.
    Watermark(u32, u32),
}

#[derive(Debug, Default)]
pub struct Actions {
    complete: Vec<(Asker, Completion)>,
    release: Vec<(Asker, Release)>,
    publish: Vec<(Asker, Letter)>,
    settle: Vec<(Asker, (Receipt, Settle))>,
    extend: Vec<(Slot, Receipt)>,
    other: Vec<Command>,
    asked: BTreeMap<u64, Vec<Asker>>,
    /// Extensions that are under way, with their receipts: a delivery may have another by the answer.
    extending: BTreeMap<u64, Vec<(Slot, Receipt)>>,
    batches: u64,
    /// Deliveries that await an answer, but for extensions: those included that are to be sent.
    awaited: usize,
    /// Something was lost since the last flush: it may be among what is to be told.
    lost_some: bool,
}

impl Actions {
    pub fn complete(&mut self, slot: Slot, item: Completion) {
        self.awaited += 1;
        self.complete.push((Asker::Delivery(slot), item));
    }

    pub fn release(&mut self, slot: Slot, item: Release) {
        self.awaited += 1;
        self.release.push((Asker::Delivery(slot), item));
    }

    pub fn publish(&mut self, slot: Slot, item: Letter) {
        self.awaited += 1;
        self.publish.push((Asker::Delivery(slot), item));
    }

    pub fn settle(&mut self, slot: Slot, receipt: Receipt, how: Settle) {
        self.awaited += 1;
        self.settle.push((Asker::Delivery(slot), (receipt, how)));
    }

    /// A watermark has moved to this receipt.
    pub fn commit(&mut self, partition: u32, assignment: u32, receipt: Receipt) {
        self.settle.push((Asker::Watermark(partition, assignment), (receipt, Settle::Ack)));
    }

    pub fn extend(&mut self, slot: Slot, receipt: Receipt) {
        self.extend.push((slot, receipt));
    }

    pub fn command(&mut self, command: Command) {
        self.other.push(command);
    }

    /// Whom the batch's results are for, in order. None when there is no such batch, or it was answered
    /// before.
    pub fn answered(&mut self, batch: u64) -> Option<Vec<Asker>> {
        let askers = self.asked.remove(&batch)?;
        self.awaited -= deliveries(&askers).count();
        Some(askers)
    }

    /// Whom an extension was asked for, each with the receipt that it was asked with.
    pub fn extended(&mut self, batch: u64) -> Option<Vec<(Slot, Receipt)>> {
        self.asked.remove(&batch)?;
        self.extending.remove(&batch)
    }

    /// A lease has ended, or an assignment: what was to be told may be no longer ours to tell.
    pub fn lose_some(&mut self) {
        self.lost_some = true;
    }

    /// Takes back what was to be told to the broker and is no longer ours to tell (invariant 3): the
    /// deliveries.
    pub fn withdraw(&mut self, is_ours: impl Fn(Asker) -> bool) -> Vec<Slot> {
        if !std::mem::take(&mut self.lost_some) {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.settle).into_iter();
        let (ours, lost): (Vec<_>, Vec<_>) = all.partition(|(asker, _)| is_ours(*asker));
        self.settle = ours;
        let slots: Vec<Slot> = lost.iter().filter_map(|(asker, _)| delivery(asker)).collect();
        self.awaited -= slots.len();
        slots
    }

    /// The number that what is to be sent next will have, or less.
    pub fn next_batch(&self) -> u64 {
        let waiting = [
            !self.complete.is_empty(),
            !self.release.is_empty(),
            !self.publish.is_empty(),
            !self.settle.is_empty(),
            !self.extend.is_empty(),
        ];
        self.batches + 1 + waiting.iter().filter(|w| **w).count() as u64
    }

    /// The oldest batch that was not answered yet, those included that are to be sent.
    pub fn oldest_batch(&self) -> Option<u64> {
        let sent = self.asked.first_key_value().map(|(batch, _)| *batch);
        sent.or_else(|| (!self.settle.is_empty()).then_some(self.batches + 1))
    }

    /// True when no answer is awaited and nothing is to be sent.
    pub fn is_quiet(&self) -> bool {
        self.asked.is_empty() && self.settle.is_empty()
    }

    /// How many deliveries await an answer, but for extensions.
    pub fn awaited(&self) -> usize {
        self.awaited
    }

    /// Whom the answer to a batch that was sent is for.
    pub fn askers(&self, batch: u64) -> &[Asker] {
        self.asked.get(&batch).map_or(&[], Vec::as_slice)
    }

    /// The deliveries that await an answer, but for extensions; those that are to be sent not included.
    pub fn asking(&self) -> impl Iterator<Item = Slot> + '_ {
        self.asked.values().flat_map(|askers| deliveries(askers))
    }

    /// The commands of this flush. Releases come before settles, so that a broker which shares the
    /// ledger's transaction learns of a failed message before it gets back what follows it.
    pub fn take(&mut self) -> Vec<Command> {
        let mut commands = Vec::with_capacity(self.other.len() + 5);
        let mut complete = std::mem::take(&mut self.complete).into_iter();
        while complete.len() > 0 {
            let count = part(complete.as_slice());
            let part = complete.by_ref().take(count);
            self.batch(part, &mut commands, |batch, items| Command::Complete { batch, items });
        }
        let release = std::mem::take(&mut self.release);
        self.batch(release, &mut commands, |batch, items| Command::Release { batch, items });
        let publish = std::mem::take(&mut self.publish);
        self.batch(publish, &mut commands, |batch, items| Command::Publish { batch, items });
        let settle = std::mem::take(&mut self.settle);
        self.batch(settle, &mut commands, |batch, items| Command::Settle { batch, items });
        let extend = std::mem::take(&mut self.extend);
        if !extend.is_empty() {
            self.batches += 1;
            let items = extend.iter().map(|(_, receipt)| *receipt).collect();
            commands.push(Command::Extend { batch: self.batches, items });
            self.asked.insert(self.batches, Vec::new());
            self.extending.insert(self.batches, extend);
        }
        commands.append(&mut self.other);
        commands
    }

    fn batch<T>(
        &mut self,
        pairs: impl IntoIterator<Item = (Asker, T)>,
        commands: &mut Vec<Command>,
        make: impl Fn(u64, Vec<T>) -> Command,
    ) {
        let (askers, items): (Vec<Asker>, Vec<T>) = pairs.into_iter().unzip();
        if items.is_empty() {
            return;
        }
        self.batches += 1;
        self.asked.insert(self.batches, askers);
        commands.push(make(self.batches, items));
    }
}

/// How many completions are in the next batch: those of one call stay together.
fn part(complete: &[(Asker, Completion)]) -> usize {
    let call = |at: usize| complete.get(at).and_then(|(_, item)| calls::number(item.effects.as_ref()));
    (PART..complete.len())
        .find(|at| call(*at).is_none() || call(*at) != call(at - 1))
        .unwrap_or(complete.len())
}

fn delivery(asker: &Asker) -> Option<Slot> {
    match asker {
        Asker::Delivery(slot) => Some(*slot),
        Asker::Watermark(..) => None,
    }
}

fn deliveries(askers: &[Asker]) -> impl Iterator<Item = Slot> + '_ {
    askers.iter().filter_map(delivery)
}
