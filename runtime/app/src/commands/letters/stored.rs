//! Letters in the data directory, or in an embedded queue.

use super::letter;
use crate::config::PipelineConfig;
use pelton_core::broker::{LetterQuery, LetterReader, OpenError};
use pelton_core::letter::{LetterId, StoredLetter};
use pelton_store::{LetterFilter, Store, StoreError};

/// Those of one pipeline.
pub struct StoredLetters<'c> {
    pipeline: &'c PipelineConfig,
    store: Store,
    /// What the next page is asked for by; none when there is none.
    next: Option<LetterFilter>,
}

impl<'c> StoredLetters<'c> {
    pub fn of(pipeline: &'c PipelineConfig, store: Store) -> Self {
        Self { pipeline, store, next: None }
    }

    fn queue(&self) -> Option<&'c str> {
        self.pipeline.dead_letters.queue()
    }

    /// Moves letters back into the queue they came from, in one transaction; how many were still there.
    pub fn replay(&self, letters: Vec<StoredLetter>) -> Result<u64, StoreError> {
        let keyed = letters.into_iter().map(|one| {
            let key = letter::ledger_key(self.pipeline, &one);
            (one, key)
        });
        let letters: Vec<_> = keyed.collect();
        Ok(self.store.replay(&self.pipeline.name, self.queue(), &letters)? as u64)
    }
}

fn number(letter: &StoredLetter) -> Option<u64> {
    match letter.id {
        LetterId::Number(number) => Some(number),
        // No letter here has such an id.
        LetterId::Place { .. } | LetterId::Message(_) => None,
    }
}

impl LetterReader for StoredLetters<'_> {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        let id = match query.id {
            None => None,
            Some(LetterId::Number(number)) => Some(number),
            Some(LetterId::Place { .. } | LetterId::Message(_)) => {
                self.next = None;
                return Ok(());
            }
        };
        let until = self.store.last_letter(&self.pipeline.name, self.queue()).map_err(failed)?;
        self.next = Some(LetterFilter { id, cause: query.cause.clone(), after: 0, until, limit: 0 });
        Ok(())
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let Some(mut filter) = self.next.take() else { return Ok(Vec::new()) };
        filter.limit = limit;
        let page = self.store.letters(&self.pipeline.name, self.queue(), &filter).map_err(failed)?;
        if let Some(last) = page.last().and_then(number) {
            self.next = Some(LetterFilter { after: last, ..filter });
        }
        Ok(page)
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        let ids: Vec<u64> = letters.iter().filter_map(number).collect();
        Ok(self.store.purge(&self.pipeline.name, self.queue(), &ids).map_err(failed)? as u64)
    }
}

fn failed(error: StoreError) -> OpenError {
    OpenError::Books(error.into())
}
