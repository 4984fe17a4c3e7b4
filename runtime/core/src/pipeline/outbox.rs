//! Commands in the making: one batch of each kind a flush, or of completions some.

use super::Command;
use crate::lanes::Slot;
use crate::message::Receipt;
use crate::outcome::Letter;
use crate::ports::{Completion, Release, Settle};
use std::collections::BTreeMap;

/// Completions in one batch, at most: the ledger answers the first while it writes the next.
const PART: usize = 128;

/// Whom an answer is for. A commit of a watermark is for no delivery.
pub type Asker = Option<Slot>;

#[derive(Debug, Default)]
pub struct Outbox {
    complete: Vec<(Asker, Completion)>,
    release: Vec<(Asker, Release)>,
    publish: Vec<(Asker, Letter)>,
    settle: Vec<(Asker, (Receipt, Settle))>,
    extend: Vec<(Asker, Receipt)>,
    other: Vec<Command>,
    asked: BTreeMap<u64, Vec<Asker>>,
    /// The receipts of extensions that are under way: a delivery may have another by the answer.
    extending: BTreeMap<u64, Vec<Receipt>>,
    batches: u64,
}

impl Outbox {
    pub fn complete(&mut self, slot: Slot, item: Completion) {
        self.complete.push((Some(slot), item));
    }

    pub fn release(&mut self, slot: Slot, item: Release) {
        self.release.push((Some(slot), item));
    }

    pub fn publish(&mut self, slot: Slot, item: Letter) {
        self.publish.push((Some(slot), item));
    }

    pub fn settle(&mut self, asker: Asker, receipt: Receipt, how: Settle) {
        self.settle.push((asker, (receipt, how)));
    }

    pub fn extend(&mut self, slot: Slot, receipt: Receipt) {
        self.extend.push((Some(slot), receipt));
    }

    pub fn command(&mut self, command: Command) {
        self.other.push(command);
    }

    /// Whom the batch's results are for, in order. None when it was answered before.
    pub fn answered(&mut self, batch: u64) -> Option<Vec<Asker>> {
        self.asked.remove(&batch)
    }

    /// The receipts that an extension was asked for.
    pub fn extended(&mut self, batch: u64) -> Vec<Receipt> {
        self.extending.remove(&batch).unwrap_or_default()
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

    /// The commands of this flush. Releases come before settles, so that a broker which shares the
    /// ledger's transaction learns of a failed message before it gets back what follows it.
    pub fn take(&mut self) -> Vec<Command> {
        let mut commands = Vec::with_capacity(self.other.len() + 5);
        let mut complete = std::mem::take(&mut self.complete).into_iter();
        while complete.len() > 0 {
            let part = complete.by_ref().take(PART);
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
            self.extending.insert(self.batches + 1, extend.iter().map(|(_, receipt)| *receipt).collect());
        }
        self.batch(extend, &mut commands, |batch, items| Command::Extend { batch, items });
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
