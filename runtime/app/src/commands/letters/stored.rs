//! Letters in the data directory, or in an embedded queue.

use super::keys::KeyedLetter;
use crate::config::PipelineConfig;
use pelton_core::broker::{LetterQuery, LetterReader, OpenError};
use pelton_core::letter::{LetterId, StoredLetter};
use pelton_store::{LetterFilter, Store, StoreError};

/// Those of one pipeline, in one place.
pub struct StoredLetters<'c> {
    pipeline: &'c PipelineConfig,
    store: Store,
    /// Their queue; none for the data directory's own table.
    queue: Option<&'c str>,
    /// What their ids begin with, where the numbers are those of another place too.
    prefix: Option<String>,
    /// What the next page is asked for by; none when there is none.
    next: Option<LetterFilter>,
}

impl<'c> StoredLetters<'c> {
    /// All places of a pipeline. The first has plain numbers; those of a cause have that before it. None
    /// where all are left to the broker.
    pub fn all(pipeline: &'c PipelineConfig, store: &Store) -> Vec<Self> {
        if pipeline.dead_letters.is_redrive() {
            return Vec::new();
        }
        let of = |queue, prefix| Self { pipeline, store: store.clone(), queue, prefix, next: None };
        let mut all = vec![of(pipeline.dead_letters.queue(), None)];
        for (cause, place) in pipeline.letters_by_cause.iter().filter(|(_, place)| place.is_here()) {
            if all.iter().all(|other| other.queue != place.queue()) {
                all.push(of(place.queue(), Some(format!("{}-", cause.as_str()))));
            }
        }
        all
    }

    /// How many there are.
    pub fn count(&self) -> Result<u64, StoreError> {
        self.store.letter_count(&self.pipeline.name, self.queue)
    }

    /// As commands show it.
    fn shown(&self, id: LetterId) -> LetterId {
        match (id, &self.prefix) {
            (LetterId::Number(number), Some(prefix)) => LetterId::Message(format!("{prefix}{number}")),
            (id, _) => id,
        }
    }

    /// The number of a letter here.
    fn number(&self, id: &LetterId) -> Option<u64> {
        match (id, &self.prefix) {
            (LetterId::Number(number), None) => Some(*number),
            (LetterId::Message(text), Some(prefix)) => text.strip_prefix(&**prefix)?.parse().ok(),
            // No letter here has such an id.
            (LetterId::Number(_) | LetterId::Place { .. } | LetterId::Message(_), _) => None,
        }
    }

    /// Moves letters back into the queue they came from, each with what the ledger knows its message by, in
    /// one transaction; how many were still there.
    pub fn replay(&self, letters: Vec<KeyedLetter>) -> Result<u64, StoreError> {
        let numbered = letters.into_iter().filter_map(|(one, key)| {
            let id = LetterId::Number(self.number(&one.id)?);
            Some((StoredLetter { id, ..one }, key))
        });
        let letters: Vec<_> = numbered.collect();
        Ok(self.store.replay(&self.pipeline.name, self.queue, &letters)? as u64)
    }
}

impl LetterReader for StoredLetters<'_> {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        let id = query.id.as_ref().map(|id| self.number(id));
        self.next = None;
        if id == Some(None) {
            return Ok(());
        }
        let id = id.flatten();
        let until = self.store.last_letter(&self.pipeline.name, self.queue).map_err(failed)?;
        self.next = Some(LetterFilter { id, cause: query.cause.clone(), after: 0, until, limit: 0 });
        Ok(())
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let Some(mut filter) = self.next.take() else { return Ok(Vec::new()) };
        filter.limit = limit;
        let mut page = self.store.letters(&self.pipeline.name, self.queue, &filter).map_err(failed)?;
        // Of one id there is one page.
        if let (Some(LetterId::Number(last)), None) = (page.last().map(|letter| &letter.id), filter.id) {
            self.next = Some(LetterFilter { after: *last, ..filter });
        }
        for letter in &mut page {
            letter.id = self.shown(letter.id.clone());
        }
        Ok(page)
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        let ids: Vec<u64> = letters.iter().filter_map(|letter| self.number(&letter.id)).collect();
        Ok(self.store.purge(&self.pipeline.name, self.queue, &ids).map_err(failed)? as u64)
    }
}

fn failed(error: StoreError) -> OpenError {
    OpenError::Books(error.into())
}
