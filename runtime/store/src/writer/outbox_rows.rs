//! What a group does to the outbox: messages that are committed to it, and those that have ended.

use super::group_effects::runs;
use crate::numbers::{signed, unsigned};
use crate::outbox::rows;
use crate::outbox::targets::{OpenTarget, Targets};
use pelton_core::effects::{Backlog, RowEnd, StagedMessage, Target};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// By target: a group touches few.
#[derive(Default)]
pub struct OutboxRows {
    targets: Vec<TargetRows>,
    sent: Vec<u64>,
}

struct TargetRows {
    target: Target,
    /// None for one that this process never sends to.
    open: Option<Arc<OpenTarget>>,
    /// The next row's number, where one was added.
    next: Option<i64>,
    added: u64,
    gone: u64,
    letters: u64,
    /// What waits once the group has committed.
    backlog: Option<Backlog>,
}

impl OutboxRows {
    fn of(&mut self, target: Target, open: impl FnOnce() -> Option<Arc<OpenTarget>>) -> &mut TargetRows {
        let known = self.targets.iter().position(|rows| rows.target == target);
        let place = known.unwrap_or_else(|| {
            let (next, backlog) = (None, None);
            self.targets.push(TargetRows {
                target,
                open: open(),
                next,
                added: 0,
                gone: 0,
                letters: 0,
                backlog,
            });
            self.targets.len() - 1
        });
        &mut self.targets[place]
    }

    /// Commits a message to the outbox.
    pub fn add(
        &mut self,
        db: &Connection,
        open: &Arc<OpenTarget>,
        message: &StagedMessage,
        now: u64,
    ) -> rusqlite::Result<()> {
        let of = self.of(open.target, || Some(open.clone()));
        let seq = match of.next {
            Some(next) => next,
            None => {
                let sql = "SELECT next_seq FROM targets WHERE id = ?1";
                db.prepare_cached(sql)?.query_row([open.target.0], |r| r.get(0))?
            }
        };
        of.next = Some(seq + 1);
        of.added += 1;
        rows::put(db, rows::id(open.target.0, unsigned(seq)), message, now)
    }

    /// Ends a message that waits. One that is not there any more has ended.
    pub fn end(
        &mut self,
        db: &Connection,
        targets: &Targets,
        (row, end): (u64, RowEnd),
        now: u64,
    ) -> rusqlite::Result<()> {
        let target = Target(rows::target_of(row));
        let of = self.of(target, || targets.of(target));
        match end {
            RowEnd::Sent => self.sent.push(row),
            RowEnd::Refused(reason) => {
                if rows::refuse(db, row, &reason, now)? {
                    of.gone += 1;
                    of.letters += 1;
                }
            }
        }
        Ok(())
    }

    /// The statements that one group needs once. Whether there were any.
    pub fn write(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        self.sent.sort_unstable();
        let sent: Vec<_> = self.sent.iter().map(|row| (0, *row, *row)).collect();
        for (_, first, last) in runs(&sent) {
            // Rows of two targets are never neighbours: none has number 0.
            let gone = rows::delete(db, first, last)?;
            self.of(Target(rows::target_of(first)), || None).gone += gone;
        }
        for of in &mut self.targets {
            of.write(db)?;
        }
        Ok(!self.targets.is_empty())
    }

    /// The group has committed: relays are told.
    pub fn take_effect(self) {
        for of in self.targets {
            if let (Some(open), Some(backlog)) = (of.open, of.backlog) {
                open.stands(backlog, of.added > 0);
            }
        }
    }
}

impl TargetRows {
    fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE targets SET next_seq = coalesce(?2, next_seq), depth = depth + ?3 - ?4,
                   letters = letters + ?5 WHERE id = ?1 RETURNING depth";
        let row =
            params![self.target.0, self.next, signed(self.added), signed(self.gone), signed(self.letters)];
        let depth = db.prepare_cached(sql)?.query_row(row, |r| r.get(0)).optional()?;
        self.backlog = depth.map(|depth| rows::backlog(db, self.target, depth)).transpose()?;
        Ok(())
    }
}
