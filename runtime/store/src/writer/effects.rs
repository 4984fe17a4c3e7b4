//! What handlers have staged, committed with the completion of their messages, or not at all.
//!
//! All is looked at before anything is written, so a conflict leaves nothing behind, and the rest of the
//! group goes on.

use super::Change;
use super::changes::Changes;
use crate::outbox::rows;
use crate::outbox::targets::OpenTarget;
use crate::state::rows as state;
use pelton_core::effects::{Effects, Seen, Staged, StagedMessage};
use pelton_core::points;
use pelton_core::ports::{Claim, Completion, ErrorClass};
use pelton_core::shown::shown;
use std::sync::Arc;

/// The calls of several messages that are in one list of changes. Each completes all of its messages, or
/// none.
#[derive(Default)]
pub struct Calls(Vec<Call>);

struct Call {
    staged: Staged,
    /// Those of its messages that are in the list, and those that these are behind in their lanes.
    claims: Vec<Claim>,
    after: Vec<Claim>,
    /// What becomes of it, once its first message was met.
    fate: Option<Result<(), ErrorClass>>,
}

impl Calls {
    /// Nothing is kept of calls of one message.
    pub fn of(changes: &[Change]) -> Self {
        let mut calls = Self::default();
        for change in changes {
            if let Change::Complete(Completion { claim, effects: Some(staged), after, .. }) = change
                && staged.messages > 1
            {
                let call = calls.find(staged);
                call.claims.push(*claim);
                call.after.extend(*after);
            }
        }
        calls
    }

    /// The messages of a call mostly come one after another.
    fn find(&mut self, staged: &Staged) -> &mut Call {
        let known = self.0.iter().rposition(|call| call.staged == *staged);
        let place = known.unwrap_or_else(|| {
            let staged = staged.clone();
            self.0.push(Call { staged, claims: Vec::new(), after: Vec::new(), fate: None });
            self.0.len() - 1
        });
        &mut self.0[place]
    }
}

impl Changes<'_> {
    /// Whether a completion may be, with what it has staged, which is done then. Its claim is still to be
    /// taken.
    pub(super) fn commit(
        &mut self,
        item: &Completion,
        calls: &mut Calls,
    ) -> rusqlite::Result<Result<(), ErrorClass>> {
        if !self.pipeline.is_live(item.claim) {
            return Ok(Err(ErrorClass::LeaseLost));
        }
        match &item.effects {
            Some(staged) if staged.messages > 1 => self.commit_call(calls.find(staged)),
            _ if item.after.is_some_and(|ahead| self.pipeline.is_live(ahead)) => {
                Ok(Err(ErrorClass::Conflict))
            }
            Some(staged) => self.commit_effects(&staged.effects),
            None => Ok(Ok(())),
        }
    }

    fn commit_call(&mut self, call: &mut Call) -> rusqlite::Result<Result<(), ErrorClass>> {
        if let Some(fate) = call.fate {
            return Ok(fate);
        }
        call.claims.sort_unstable();
        call.claims.dedup();
        let is_whole = u32::try_from(call.claims.len()) == Ok(call.staged.messages);
        let is_live = |claim: &Claim| self.pipeline.is_live(*claim);
        let is_behind = |ahead: &Claim| !call.claims.contains(ahead) && is_live(ahead);
        let may_be = is_whole && call.claims.iter().all(is_live) && !call.after.iter().any(is_behind);
        let fate =
            if may_be { self.commit_effects(&call.staged.effects)? } else { Err(ErrorClass::Conflict) };
        call.fate = Some(fate);
        Ok(fate)
    }

    fn commit_effects(&mut self, effects: &Arc<Effects>) -> rusqlite::Result<Result<(), ErrorClass>> {
        for seen in &effects.reads {
            let kept = |seen: &Seen| state::stamp(self.db, seen.bucket, &seen.key);
            if !self.tally.state.leave(seen, kept)? {
                self.log_conflict(seen);
                return Ok(Err(ErrorClass::Conflict));
            }
        }
        let Some(targets) = self.targets_of(effects) else { return Ok(Err(ErrorClass::Conflict)) };
        points::reach("effects-checked");
        self.tally.state.add(effects);
        for (message, target) in effects.messages.iter().zip(targets) {
            self.send(message, &target)?;
        }
        Ok(Ok(()))
    }

    fn log_conflict(&self, seen: &Seen) {
        tracing::debug!(
            pipeline = %self.pipeline.name,
            key = %shown(&seen.key),
            "state has changed since a handler read it: its message runs again"
        );
    }

    fn targets_of(&self, effects: &Effects) -> Option<Vec<Arc<OpenTarget>>> {
        let open = |message: &StagedMessage| {
            let open = self.targets.of(message.target);
            if open.is_none() {
                tracing::error!(
                    pipeline = %self.pipeline.name,
                    target = message.target.0,
                    "a handler sends to a target that was not opened here: nothing of its message is done. \
                     Restart the worker"
                );
            }
            open
        };
        effects.messages.iter().map(open).collect()
    }

    fn send(&mut self, message: &StagedMessage, target: &Arc<OpenTarget>) -> rusqlite::Result<()> {
        let Some(queue) = &target.queue else {
            return self.tally.outbox.add(self.db, target, message, self.now);
        };
        let row = self.tally.new_rows.next(self.db, queue.id)?;
        rows::put_in_queue(self.db, row, message, self.now)?;
        self.tally.arrived(queue);
        Ok(())
    }
}
