//! The ledger completes: messages of one call together, in the order of their lanes, if what they have read
//! still stands.

use super::{Job, Sim};
use crate::effects::{Broken, judge};
use crate::mutants::Mutant;
use pelton_core::pipeline::{Command, Input};
use pelton_core::ports::{Completion, ErrorClass, Settle};
use std::sync::Arc;

/// What is behind others waits so long at most.
const HELD: u64 = 1_000;

impl Sim {
    /// Whether a batch waits for what it has read to be committed, as a store has it wait: not for ever.
    fn is_held(&mut self, batch: u64, items: &[Completion]) -> bool {
        let calls: Vec<_> =
            items.iter().filter_map(|item| Some(&*item.effects.as_ref()?.effects)).collect();
        let until = *self.held.entry(batch).or_insert(self.now + HELD);
        let is_held = self.now < until && self.home.is_behind(&calls);
        if !is_held {
            self.held.remove(&batch);
        }
        is_held
    }

    pub(super) fn complete(&mut self, batch: u64, items: Vec<Completion>) {
        if self.is_held(batch, &items) {
            return self.at(50, Job::Perform(Command::Complete { batch, items }));
        }
        if self.fails_for_good() {
            let results = vec![Err(ErrorClass::Permanent); items.len()];
            return self.at(20, Job::Tell(Input::Stored { batch, results }, Vec::new()));
        }
        let busy = self.busy(&items);
        let asked: Vec<Completion> =
            items.iter().zip(&busy).filter(|(_, busy)| !**busy).map(|(item, _)| item.clone()).collect();
        let broken = Broken {
            halves: self.mutant == Some(Mutant::CommitsHalfOfACall),
            blind: self.mutant == Some(Mutant::LooksAtNoStamp),
        };
        let world = &self.world;
        let live = |claim| world.live.contains_key(&claim);
        let judged = judge(&self.home, &asked, live, live, broken);
        let mut judged = judged.into_iter();
        let (mut results, mut ended, mut last) = (Vec::new(), Vec::new(), None);
        for (item, busy) in items.iter().zip(busy) {
            let result = if busy { Err(ErrorClass::Transient) } else { judged.next().unwrap_or(Ok(())) };
            results.push(result);
            if result.is_err() {
                continue;
            }
            let n = self.claims.get(&item.claim).copied().unwrap_or(0);
            self.checker.commits(&self.world, n, item.effects.as_ref());
            assert_eq!(self.world.complete(n, item.claim), Ok(()));
            // Once for each call.
            let call = item.effects.as_ref().map(|staged| Arc::as_ptr(&staged.effects));
            if let Some(staged) = item.effects.as_ref().filter(|_| call != last) {
                self.checker.changes(n, &staged.effects);
            }
            last = call;
            if let Some(receipt) = item.settle {
                self.checker.told(&self.world, receipt, Settle::Ack, self.now);
                // The same transaction: it is not lost alone.
                assert_eq!(self.world.settle(receipt, Settle::Ack, self.now), Ok(()));
                ended.push(receipt);
            } else if self.world.shape.caps.cumulative {
                ended.extend(self.receipt(n));
            }
        }
        self.checker.transaction_ends();
        self.at(20, Job::Tell(Input::Stored { batch, results }, ended));
    }

    /// Which of these the ledger cannot answer: all of a call, or none of it.
    fn busy(&mut self, items: &[Completion]) -> Vec<bool> {
        let mut busy: Vec<bool> = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let shared = item.effects.as_ref().filter(|staged| staged.messages > 1);
            let before = place.checked_sub(1).map(|before| &items[before].effects);
            let goes_with = shared.is_some() && before == Some(&item.effects);
            busy.push(if goes_with { busy[place - 1] } else { self.fails() });
        }
        busy
    }
}
