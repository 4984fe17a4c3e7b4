//! Changes of one group: each whole, in the order they came.

use super::Change;
use super::claims::mark;
use super::effects::Calls;
use super::group_effects::{Effect, GroupEffects};
use crate::ledger::Pipeline;
use crate::ledger::identity::encode;
use crate::letters;
use crate::numbers::signed;
use crate::outbox::targets::Targets;
use crate::queue::rows::{self, NewRow};
use pelton_core::letter;
use pelton_core::ports::{Claim, Completion, ErrorClass, Release, Settle};
use pelton_core::{Counter, HeaderList, Identity, Letter, Receipt};
use rusqlite::{Connection, params};
use std::sync::Arc;

pub struct Changes<'g> {
    pub db: &'g Connection,
    pub pipeline: &'g Arc<Pipeline>,
    pub targets: &'g Targets,
    pub tally: &'g mut GroupEffects,
    /// Wall time of the group, in milliseconds.
    pub now: u64,
}

impl Changes<'_> {
    /// Each change of a list, in its order.
    pub fn apply_all(&mut self, changes: Vec<Change>) -> rusqlite::Result<Vec<Result<(), ErrorClass>>> {
        let mut calls = Calls::of(&changes);
        changes.into_iter().map(|change| self.apply(change, &mut calls)).collect()
    }

    fn apply(&mut self, change: Change, calls: &mut Calls) -> rusqlite::Result<Result<(), ErrorClass>> {
        match change {
            Change::Complete(item) => self.complete(item, calls),
            Change::Release(item) => self.release(item),
            Change::Publish(letter) => self.publish(&letter, true),
            Change::Note(letter) => self.publish(&letter, false),
            Change::Count(counter, number) => {
                self.tally.counts(self.pipeline).counters[counter] += number;
                Ok(Ok(()))
            }
            Change::Remove(receipt, Some(key)) => {
                self.remove(receipt, &key);
                Ok(Ok(()))
            }
            Change::Remove(receipt, None) => {
                self.settle(receipt, Settle::Ack)?;
                Ok(Ok(()))
            }
            Change::Settle(receipt, how) => {
                // A repeated ack finds nothing, and counts nothing.
                if how == Settle::Ack && rows::exists(self.db, receipt.0)? {
                    self.count(Counter::Duplicates, 1);
                }
                self.settle(receipt, how)?;
                Ok(Ok(()))
            }
        }
    }

    /// Of what its own ledger does.
    fn count(&mut self, counter: Counter, number: u64) {
        if self.pipeline.elsewhere {
            return;
        }
        self.tally.counts(self.pipeline).counters[counter] += number;
    }

    /// Ends a claim; a late or repeated answer finds none.
    fn take(&mut self, claim: Claim) -> Option<u32> {
        let (identity, attempt) = self.pipeline.take(claim)?;
        self.tally.taken(self.pipeline, claim, (identity, attempt));
        Some(attempt)
    }

    fn complete(
        &mut self,
        item: Completion,
        calls: &mut Calls,
    ) -> rusqlite::Result<Result<(), ErrorClass>> {
        if (item.effects.is_some() || item.after.is_some())
            && let Err(class) = self.commit(&item, calls)?
        {
            return Ok(Err(class));
        }
        if self.take(item.claim).is_none() {
            return Ok(Err(ErrorClass::LeaseLost));
        }
        match item.identity {
            Identity::Position(position) => {
                self.tally.completed(self.pipeline, position, item.skipped);
            }
            Identity::Key(key) if self.pipeline.dedup => self.tally.completed_key(self.pipeline, key),
            Identity::Key(_) => {}
        }
        self.forget_attempts(item.identity)?;
        self.count(Counter::Handled, 1);
        if let Some(receipt) = item.settle {
            self.settle(receipt, Settle::Ack)?;
        }
        Ok(Ok(()))
    }

    fn release(&mut self, item: Release) -> rusqlite::Result<Result<(), ErrorClass>> {
        let Some(attempt) = self.take(item.claim) else { return Ok(Err(ErrorClass::LeaseLost)) };
        if item.counts {
            self.set_attempts(item.identity, attempt, None)?;
            self.count(Counter::Retries, 1);
        }
        if let Some((receipt, how)) = item.settle {
            self.settle(receipt, how)?;
        }
        Ok(Ok(()))
    }

    /// Ends the claim, counts, and writes the letter if it is to be kept `here`.
    fn publish(&mut self, letter: &Letter, here: bool) -> rusqlite::Result<Result<(), ErrorClass>> {
        if let Some(claim) = letter.claim
            && self.take(claim).is_none()
        {
            return Ok(Err(ErrorClass::LeaseLost));
        }
        if here {
            self.write(letter)?;
        }
        self.count(Counter::of(letter.cause), 1);
        match (letter.identity, letter.settle) {
            (Some(Identity::Position(position)), None) => {
                self.tally.lettered(self.pipeline, position, letter.skipped);
                self.forget_attempts(Identity::Position(position))?;
            }
            (Some(identity), None) => {
                self.set_attempts(identity, 0, Some(mark(&letter.message)))?;
            }
            (Some(identity), Some(_)) => self.forget_attempts(identity)?,
            (None, _) => {}
        }
        match (letter.settle, letter.message.key()) {
            // It was never started, and so may be one that waited on disk.
            (Some(receipt), Some(key)) if letter.claim.is_none() => self.remove(receipt, key),
            (Some(receipt), _) => self.settle(receipt, Settle::Ack)?,
            (None, _) => {}
        }
        Ok(Ok(()))
    }

    fn remove(&mut self, receipt: Receipt, key: &[u8]) {
        let Some(queue) = self.pipeline.source.get() else { return };
        self.tally.delete(receipt.0);
        self.tally.effect(queue, Effect::Removed(receipt, key.into()));
    }

    fn write(&mut self, item: &Letter) -> rusqlite::Result<()> {
        let Some(queue) = self.pipeline.letters_to.queue(item.cause) else {
            letters::insert(self.db, self.pipeline.id, item, self.now)?;
            self.tally.counts(self.pipeline).letters += 1;
            return Ok(());
        };
        let headers = letter::headers(&self.pipeline.name, item, self.now);
        let headers: HeaderList = headers.iter().collect();
        let id = item.message.id().text();
        let row = NewRow { headers: headers.view(), ..NewRow::of(&item.message, &id, self.now) };
        rows::put(self.db, self.tally.new_rows.next(self.db, queue.id)?, &row)?;
        self.tally.arrived(queue);
        Ok(())
    }

    fn settle(&mut self, receipt: Receipt, how: Settle) -> rusqlite::Result<()> {
        let Some(queue) = self.pipeline.source.get() else { return Ok(()) };
        let effect = match how {
            Settle::Ack => {
                self.tally.delete(receipt.0);
                Effect::Gone(receipt)
            }
            Settle::GiveBack => Effect::Back(receipt),
            Settle::RetryLater { delay_ms } | Settle::LeaveToRedrive { delay_ms } => {
                let sql = "UPDATE messages SET visible_at = ?2, delayed_at = ?3, blocks = 1 WHERE id = ?1";
                let until = self.now.saturating_add(delay_ms).max(1);
                let row = params![signed(receipt.0), signed(until), signed(self.now)];
                self.db.prepare_cached(sql)?.execute(row)?;
                Effect::Delayed(receipt)
            }
        };
        self.tally.effect(queue, effect);
        Ok(())
    }

    fn set_attempts(
        &mut self,
        identity: Identity,
        attempts: u32,
        lettered: Option<Vec<u8>>,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT INTO attempts(pipeline, identity, attempts, suspect, lettered, changed_at)
                   VALUES (?1, ?2, ?3, 0, ?4, ?5)
                   ON CONFLICT DO UPDATE SET attempts = ?3, suspect = 0, lettered = ?4, changed_at = ?5";
        let row = params![self.pipeline.id, encode(identity), attempts, lettered, self.now.cast_signed()];
        self.db.prepare_cached(sql)?.execute(row)?;
        self.pipeline.state().attempted.add(identity);
        Ok(())
    }

    fn forget_attempts(&mut self, identity: Identity) -> rusqlite::Result<()> {
        if !self.pipeline.state().attempted.may_have(identity) {
            return Ok(());
        }
        let sql = "DELETE FROM attempts WHERE pipeline = ?1 AND identity = ?2";
        let row = params![self.pipeline.id, encode(identity)];
        self.db.prepare_cached(sql)?.execute(row)?;
        self.pipeline.state().attempted.remove(identity);
        Ok(())
    }
}
