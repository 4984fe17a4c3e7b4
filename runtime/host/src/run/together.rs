//! What becomes of a transaction once its handler has answered. It is committed with the completion of the
//! messages, by whoever keeps the ledger; here is decided whether it gets there.
//!
//! Where the messages of a chunk share one, each that was handled is held until the chunk ends. Then all of
//! them are reported with it as one call. What fails is undone alone.

use crate::guest::reason::REASON_BYTES;
use crate::interfaces::sql::CallEnd;
use crate::interfaces::staging::Staging;
use crate::kinds::Answers;
use crate::run::chunk::Chunk;
use pelton_core::effects::{Effects, OpenTransaction, Staged, Stamp, TransactionState};
use pelton_core::outcome::Outcome;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How long undoing what one message has done may take. Else all of its transaction is given up on.
const UNDO: Duration = Duration::from_secs(1);

/// What the messages that share a transaction have staged, each that was handled.
#[derive(Default)]
pub(crate) struct Together(Vec<Effects>);

impl Chunk {
    /// A call has answered that has run statements, or that comes behind others with a transaction.
    pub(super) async fn settle_statements(
        &mut self,
        answers: Answers,
        statements: Option<CallEnd>,
        staging: Staging,
    ) {
        match (answers, statements) {
            (Answers::One(answer), statements) if self.control.sql.sharers().is_some() => {
                self.settle_sharer(answer, statements, staging).await;
            }
            (Answers::One(answer), Some(statements)) => self.settle_own(vec![answer], statements, staging),
            (Answers::Many(answers), Some(statements)) => self.settle_own(answers, statements, staging),
            (Answers::One(answer), None) => self.book.settle(answer),
            (Answers::Many(answers), None) => self.settle_many(answers, None),
        }
    }

    /// The transaction is that of one call.
    fn settle_own(&mut self, answers: Vec<Outcome>, statements: CallEnd, staging: Staging) {
        let CallEnd { transaction, standing } = statements;
        let is_well = answers.iter().all(Outcome::is_ok);
        let is_one_of_many = answers.len() > 1;
        match standing {
            TransactionState::Again(reason) => self.comes_to_nothing(&reason),
            TransactionState::Open if is_well => {
                let mut effects = staging.into_effects();
                effects.transaction = transaction.map(OpenTransaction);
                self.settle_call(answers, effects);
            }
            // What one of them has done cannot be told from what the others have.
            TransactionState::Open | TransactionState::Failed(_) if is_one_of_many => {
                self.book.settle_all(&Outcome::BatchFault);
            }
            TransactionState::Failed(words) if is_well => self.book.settle(self.swallowed(&words)),
            TransactionState::Open | TransactionState::Failed(_) => {
                answers.into_iter().for_each(|answer| self.book.settle(answer));
            }
        }
    }

    /// All is well, and on its way to be committed.
    fn settle_call(&mut self, answers: Vec<Outcome>, effects: Effects) {
        let messages = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        let staged = Staged::of(effects, messages);
        match messages {
            1 => self.settle_well(staged),
            _ => self.settle_many(answers, staged),
        }
        // It keeps its connection until it is committed, so nothing else of this chunk is to wait for one.
        if self.book.has_more() {
            self.book.cut();
        }
    }

    /// The transaction is shared by messages of this chunk, of which this call has one.
    async fn settle_sharer(&mut self, answer: Outcome, statements: Option<CallEnd>, staging: Staging) {
        let Some(statements) = statements else {
            // It may have read what those before it have written.
            let effects = staging.into_effects();
            return match answer {
                Outcome::Ok(_) if !effects.is_empty() => self.hold(effects),
                answer => self.book.settle(answer),
            };
        };
        let is_open = statements.standing == TransactionState::Open;
        let answer = match &statements.standing {
            TransactionState::Failed(words) if answer.is_ok() => self.swallowed(words),
            _ => answer,
        };
        if is_open && answer.is_ok() {
            return self.hold(staging.into_effects());
        }
        if self.undo(statements, true).await {
            self.book.settle(answer);
        }
    }

    /// It was handled, and commits with the others.
    fn hold(&mut self, effects: Effects) {
        self.show(&effects);
        self.together.0.push(effects);
        self.book.hold();
        if self.control.sql.sharers().is_some_and(|most| self.book.held() >= most) && self.book.has_more() {
            self.book.cut();
        }
    }

    /// A call has not ended well: what it has done is undone, and that of others kept. False when all has
    /// come to nothing whatever it has answered, and that is settled. `counts` says that it has come to an
    /// end of its own.
    pub(super) async fn undo(&mut self, statements: CallEnd, counts: bool) -> bool {
        let CallEnd { transaction, standing } = statements;
        let reason = match standing {
            TransactionState::Again(reason) => reason,
            TransactionState::Open | TransactionState::Failed(_) => {
                let shared = transaction.filter(|_| self.control.sql.sharers().is_some());
                let Some(transaction) = shared else { return true };
                let undone = tokio::time::timeout(UNDO, transaction.undoes_message()).await.is_ok();
                if !undone {
                    // It has an end of its own, in the middle of a statement.
                    self.give_up_together("what another message did could not be undone in time");
                    return true;
                }
                match transaction.standing() {
                    TransactionState::Open => return true,
                    // It had failed before, by what one before it has not waited for.
                    TransactionState::Failed(words) | TransactionState::Again(words) => words,
                }
            }
        };
        if counts {
            self.comes_to_nothing(&reason);
        } else {
            self.give_up_together(&reason);
        }
        !counts
    }

    /// All that the transaction at hand is of runs again: each message alone, where it has several.
    fn comes_to_nothing(&mut self, reason: &str) {
        let alone = self.book.held() + self.book.running() > 1;
        self.give_up_together(reason);
        self.book.settle_all(&Outcome::Again { reason: self.shown(reason), alone });
    }

    /// What is held runs again, and the rest of the chunk is for others.
    fn give_up_together(&mut self, reason: &str) {
        drop(self.control.sql.end_shared());
        self.together.0.clear();
        self.book.settle_held(&Outcome::Again { reason: self.shown(reason), alone: true });
        if self.control.sql.sharers().is_some() {
            self.book.cut();
        }
    }

    /// The chunk ends: what shares its transaction is reported with it.
    pub(super) fn commit_together(&mut self) {
        let transaction = self.control.sql.end_shared();
        if self.book.held() == 0 {
            return;
        }
        let parts = std::mem::take(&mut self.together.0);
        let mut effects = merged(&parts);
        effects.transaction = transaction.map(OpenTransaction);
        // Before those that it is made of are no longer shown.
        self.show(&effects);
        drop(parts);
        let messages = u32::try_from(self.book.held()).unwrap_or(u32::MAX);
        self.book.settle_held(&Outcome::Ok(Staged::of(effects, messages)));
    }

    /// The handler has not seen, or not minded, that a statement has failed.
    fn swallowed(&self, words: &str) -> Outcome {
        let reason = self.shown(&format!("{words}, and the handler answered ok"));
        Outcome::Retry { reason, after_ms: None }
    }

    /// Words of the database's, safe to print.
    fn shown(&self, words: &str) -> String {
        self.handler.maker.setting.log.secrets.clean(words, REASON_BYTES)
    }
}

/// What several calls have staged one after another, as one. What one of them has read that another has
/// written is no longer to be looked at: it never is in the table.
fn merged(parts: &[Effects]) -> Effects {
    let mut all = Effects::default();
    let own: HashSet<Stamp> = parts.iter().flat_map(|part| &part.writes).map(|write| write.stamp).collect();
    let (mut seen, mut written) = (HashSet::new(), HashMap::new());
    for part in parts {
        let reads = part.reads.iter().filter(|read| !own.contains(&read.stamp));
        all.reads.extend(reads.filter(|read| seen.insert((read.bucket, &*read.key, read.stamp))).cloned());
        for write in &part.writes {
            match written.entry((write.bucket, &*write.key)) {
                Entry::Occupied(at) => all.writes[*at.get()] = write.clone(),
                Entry::Vacant(free) => {
                    free.insert(all.writes.len());
                    all.writes.push(write.clone());
                }
            }
        }
        all.messages.extend(part.messages.iter().cloned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::effects::{Bucket, Seen, Write};

    const ONE: Bucket = Bucket(1);

    fn effects(reads: &[(&str, u64)], writes: &[(&str, u64)]) -> Effects {
        let mut effects = Effects::default();
        let key = |key: &str| key.as_bytes().to_vec();
        effects.reads.extend(reads.iter().map(|(name, stamp)| Seen {
            bucket: ONE,
            key: key(name),
            stamp: Stamp(*stamp),
        }));
        let write = |(name, stamp): &(&str, u64)| Write {
            bucket: ONE,
            key: key(name),
            value: None,
            stamp: Stamp(*stamp),
        };
        effects.writes.extend(writes.iter().map(write));
        effects
    }

    #[test]
    fn of_several_calls_what_is_seen_first_and_written_last_counts() {
        let parts = vec![
            effects(&[("k", 1), ("r", 2)], &[("k", 10)]),
            effects(&[("k", 10), ("r", 2), ("s", 0)], &[("k", 11), ("s", 12)]),
            effects(&[("k", 11), ("r", 3)], &[]),
        ];
        let expected = effects(&[("k", 1), ("r", 2), ("s", 0), ("r", 3)], &[("k", 11), ("s", 12)]);
        let all = merged(&parts);
        assert_eq!((all.reads, all.writes), (expected.reads, expected.writes));
    }
}
