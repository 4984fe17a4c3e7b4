//! The way back: letters go into what their pipeline reads.

use super::keys::KeyedLetter;
use crate::books::StoreBooks;
use crate::config::PipelineConfig;
use crate::exit::Fail;
use crate::worker::assemble::open_fail;
use pelton_core::broker::{Outgoing, Published, Publisher, ReplayMark};
use pelton_core::letter::StoredLetter;
use std::sync::Arc;

/// Where letters of a pipeline go back to.
pub struct Back<'c> {
    pipeline: &'c PipelineConfig,
    books: Arc<StoreBooks>,
    /// Opened for the first letter.
    publisher: Option<Box<dyn Publisher>>,
}

impl<'c> Back<'c> {
    /// Nothing is asked yet.
    pub fn of(pipeline: &'c PipelineConfig, books: Arc<StoreBooks>) -> Self {
        Self { pipeline, books, publisher: None }
    }

    /// Whether letters go back into the data directory's own database.
    pub fn is_here(&self) -> bool {
        self.pipeline.source.queue().is_some()
    }

    /// Where a letter would go, in words.
    pub fn destination(&self, letter: &StoredLetter) -> String {
        self.pipeline.source.broker().destination(&self.returning(letter, None))
    }

    /// Puts letters back, each with what the ledger knows its message by, and waits until they are there:
    /// those that are. When this is cut short before they
    /// are removed where they were, a message is there twice, never lost. The second says why one is not
    /// there.
    pub fn put(
        &mut self,
        letters: Vec<KeyedLetter>,
    ) -> Result<(Vec<StoredLetter>, Result<(), Fail>), Fail> {
        let results = self.send(&letters)?;
        let (mut gone, mut refused) = (Vec::new(), Ok(()));
        for ((letter, _), result) in letters.into_iter().zip(results) {
            match result {
                Ok(sent) => {
                    if sent.as_new {
                        note!(
                            "warning: the message of letter {} leaves no room for its id: it goes back as a \
                             new message",
                            letter.id
                        );
                    }
                    gone.push(letter);
                }
                Err(why) => refused = refused.and_then(|()| Err(self.stays(&letter, &why.words))),
            }
        }
        Ok((gone, refused))
    }

    fn send(&mut self, letters: &[KeyedLetter]) -> Result<Vec<Published>, Fail> {
        let fail = |error| open_fail(&self.pipeline.name, error);
        let returning = letters.iter().map(|(letter, key)| self.returning(letter, key.as_deref()));
        let batch: Vec<Outgoing<'_>> = returning.collect();
        let publisher = match &mut self.publisher {
            Some(publisher) => publisher,
            none => none.insert(self.pipeline.source.broker().publisher(&*self.books).map_err(fail)?),
        };
        publisher.publish(&batch).map_err(|error| fail(error.into()))
    }

    fn returning<'l>(&self, letter: &'l StoredLetter, ledger_key: Option<&'l [u8]>) -> Outgoing<'l> {
        let name = letter.replay_name(&self.pipeline.name).into();
        let replay = Some(ReplayMark { name, ledger_key: ledger_key.map(Into::into) });
        Outgoing { replay, ..letter.outgoing() }
    }

    fn stays(&self, letter: &StoredLetter, why: &str) -> Fail {
        let to = self.destination(letter);
        Fail::refused(format!(
            "letter {} could not be put back into {to}: {why}. It stays a letter",
            letter.id
        ))
    }
}
