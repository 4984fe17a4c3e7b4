//! Letters of the outbox: messages that their target has refused. They are kept with the outbox, wherever the
//! pipeline keeps its own letters, and go back to their target.

use crate::commands::Home;
use crate::config::PipelineConfig;
use pelton_core::broker::{LetterQuery, LetterReader, OpenError};
use pelton_core::effects::{OutboxLetter, OutboxLetterFilter};
use pelton_core::letter::{LetterId, StoredLetter};
use pelton_core::{Cause, Failure};

/// What their ids begin with. The numbers are counted apart from those of other letters.
const PREFIX: &str = "outbox-";

/// Those of one pipeline.
pub struct RefusedLetters<'c> {
    pipeline: &'c PipelineConfig,
    home: Home<'c>,
    /// What the next page is asked for by; none when there is none.
    next: Option<OutboxLetterFilter>,
}

/// Whether a letter of this id is of an outbox.
pub fn is_of_outbox(id: &LetterId) -> bool {
    number(id).is_some()
}

fn number(id: &LetterId) -> Option<u64> {
    match id {
        LetterId::Message(text) => text.strip_prefix(PREFIX)?.parse().ok(),
        LetterId::Number(_) | LetterId::Place { .. } => None,
    }
}

/// As other letters are shown. Its origin is the name of its target: there it goes again.
fn stored(letter: OutboxLetter) -> StoredLetter {
    let message = letter.message;
    StoredLetter {
        id: LetterId::Message(format!("{PREFIX}{}", letter.id)),
        message_id: message.id.to_string(),
        cause: Cause::Outbox.as_str().to_owned(),
        failure: Failure::Refused.as_str().to_owned(),
        reason: letter.reason,
        attempts: 0,
        handler: String::new(),
        origin: letter.target,
        key: message.key,
        headers: message.headers,
        body: message.body,
        tombstone: false,
        published_at_ms: Some(letter.committed_at_ms),
        failed_at_ms: letter.failed_at_ms,
    }
}

impl<'c> RefusedLetters<'c> {
    pub fn of(pipeline: &'c PipelineConfig, home: Home<'c>) -> Self {
        Self { pipeline, home, next: None }
    }

    /// Where a letter goes again, in words; none when its target is not configured any more.
    pub fn destination(&self, letter: &StoredLetter) -> Option<String> {
        let target = self.pipeline.grants.outbox.iter().find(|(name, _)| *name == letter.origin);
        target.map(|(name, place)| format!("the target {name} ({})", place.describe()))
    }

    /// Puts letters back into the outbox, in one transaction; how many were still there.
    pub fn replay(&self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        self.home.books.replay_letters(&numbers(letters))
    }

    /// How many there are.
    pub fn count(&self) -> Result<u64, OpenError> {
        let targets = self.home.books.targets(self.home.owner)?;
        Ok(targets.iter().map(|target| target.letters).sum())
    }
}

fn numbers(letters: &[StoredLetter]) -> Vec<u64> {
    letters.iter().filter_map(|letter| number(&letter.id)).collect()
}

impl LetterReader for RefusedLetters<'_> {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        let id = query.id.as_ref().map(number);
        let is_meant = query.cause.as_deref().is_none_or(|cause| cause == Cause::Outbox.as_str());
        self.next = None;
        if let (true, None | Some(Some(_))) = (is_meant, id) {
            let until = self.home.books.last_letter(self.home.owner)?;
            self.next =
                Some(OutboxLetterFilter { id: id.flatten(), until, ..OutboxLetterFilter::default() });
        }
        Ok(())
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let Some(mut filter) = self.next.take() else { return Ok(Vec::new()) };
        filter.limit = limit;
        let page = self.home.books.letters(self.home.owner, &filter)?;
        if let Some(last) = page.last() {
            self.next = Some(OutboxLetterFilter { after: last.id, ..filter });
        }
        Ok(page.into_iter().map(stored).collect())
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        self.home.books.purge_letters(&numbers(letters))
    }
}
