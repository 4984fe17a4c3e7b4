//! The transaction of the messages in work: that of one call, or one that all calls of a chunk share.

use pelton_core::effects::{Database, SqlError, Transaction, TransactionState};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is kept of the statements of a chunk: by the chunk, since what becomes of it is decided when the
/// instance may be gone.
#[derive(Default)]
pub(crate) struct InChunk {
    /// How many messages a transaction is for, where those of the chunk share one.
    shared_by: Option<usize>,
    /// Set by the first statement of a call, so that calls without any cost no lock.
    used: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    transaction: Option<Arc<dyn Transaction>>,
    /// The call at hand has begun to run statements in it.
    has_joined: bool,
    /// Statements of the call at hand.
    statements: usize,
    /// Why the call at hand has to run again, whatever it answers.
    lost: Option<String>,
}

/// What a call that has run statements leaves.
pub(crate) struct CallEnd {
    /// Its transaction; none if there was no connection for one. In a shared one it is the chunk's too.
    pub(crate) transaction: Option<Arc<dyn Transaction>>,
    /// How that stands.
    pub(crate) standing: TransactionState,
}

impl InChunk {
    /// Of a chunk whose messages share transactions of so many.
    pub(crate) fn shared_by(messages: usize) -> Self {
        Self { shared_by: Some(messages), ..Self::default() }
    }

    /// How many messages share a transaction; none where each call has its own.
    pub(crate) fn sharers(&self) -> Option<usize> {
        self.shared_by
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.used.store(true, Relaxed);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a statement of the call at hand; an error is the number that is passed.
    pub(super) fn count(&self, max: usize) -> Result<(), usize> {
        let mut kept = self.kept();
        kept.statements += 1;
        if kept.statements > max { Err(max) } else { Ok(()) }
    }

    /// The call at hand has to run again, for a reason that is not its own.
    pub(super) fn lose(&self, words: &str) {
        self.kept().lost.get_or_insert_with(|| words.to_owned());
    }

    /// The transaction for a call of so many messages, begun if there is none.
    pub(super) async fn transaction(
        &self,
        database: &dyn Database,
        messages: usize,
    ) -> Result<Arc<dyn Transaction>, SqlError> {
        let (known, has_joined) = {
            let kept = self.kept();
            (kept.transaction.clone(), kept.has_joined)
        };
        let transaction = match known {
            Some(known) => known,
            None => {
                let begun = database.begin(self.shared_by.unwrap_or(messages)).await?;
                self.kept().transaction = Some(Arc::clone(&begun));
                begun
            }
        };
        if !has_joined {
            if self.shared_by.is_some() {
                transaction.begins_message().await;
            }
            // Not before: what is undone must be its own.
            self.kept().has_joined = true;
        }
        Ok(transaction)
    }

    /// A call has ended, however. None if it has run no statement.
    pub(crate) fn end_call(&self) -> Option<CallEnd> {
        // Nobody else uses it now, and a look is cheaper than a change.
        if !self.used.load(Relaxed) {
            return None;
        }
        self.used.store(false, Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.statements = 0;
        let (has_joined, lost) = (std::mem::take(&mut kept.has_joined), kept.lost.take());
        let transaction = match self.shared_by {
            Some(_) => kept.transaction.clone().filter(|_| has_joined),
            None => kept.transaction.take(),
        };
        if transaction.is_none() && lost.is_none() {
            return None;
        }
        let standing = match (lost, &transaction) {
            (Some(words), _) => TransactionState::Again(words),
            (None, Some(transaction)) => transaction.standing(),
            (None, None) => TransactionState::Open,
        };
        Some(CallEnd { transaction, standing })
    }

    /// What the calls so far have shared is no longer theirs: the next statement begins anew.
    pub(crate) fn end_shared(&self) -> Option<Arc<dyn Transaction>> {
        self.shared_by?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).transaction.take()
    }
}

impl fmt::Debug for InChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InChunk").field("shared_by", &self.shared_by).finish_non_exhaustive()
    }
}
