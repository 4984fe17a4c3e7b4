//! The dead letters of a pipeline, wherever they are kept.

mod back;
pub mod letter;
#[cfg(feature = "sqs")]
mod queues;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "kafka")]
pub mod topics;

use crate::cli::{LetterId, Which};
use crate::commands::open_beside;
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::registry::LettersConfig;
use back::Back;
#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
use pelton_core::letter::Note;
#[cfg(feature = "sqs")]
use pelton_sqs::LetterQueue;
use pelton_store::{LetterFilter, Store, StoredLetter};

/// A letter with its id.
pub struct Found {
    pub id: LetterId,
    pub letter: StoredLetter,
}

/// Reads, replays and removes letters. All of it blocks.
pub trait DeadLetterStore {
    /// Every letter that is meant and was there when this was called, each once, in pages of at most
    /// `limit`; how many there were. What is written meanwhile is not met, above all what `see` put back
    /// and failed again: a walk that met it would never end.
    fn each(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail>;

    /// A walk is about to begin elsewhere, and to come here behind that: what is written from now on is not
    /// met.
    #[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
    fn begins(&self) -> Outcome {
        Ok(())
    }

    /// These are put back from elsewhere: what comes of them is no letter of the walk.
    #[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
    fn goes_back(&self, _letters: &[Found]) {}

    /// Removes letters for good; how many were still there.
    fn purge(&self, letters: &[Found]) -> Result<u64, Fail>;

    /// The way to where letters came from.
    fn back(&self) -> &Back<'_>;

    /// Puts letters back where they came from and removes them here; how many were still there.
    fn replay(&self, letters: Vec<Found>) -> Result<u64, Fail> {
        self.back().put(letters, |gone| self.purge(gone))
    }

    /// Where a replay would put a letter, in words.
    fn destination(&self, found: &Found) -> String {
        self.back().destination(found)
    }
}

/// What is known of a letter that a broker keeps, as if it were stored here. `own_id` and `origin` are its
/// where nothing else is said; `at_ms` is when the broker took it.
#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
pub fn noted(note: Note, own_id: String, origin: &str, at_ms: Option<u64>) -> StoredLetter {
    let unsaid = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
    StoredLetter {
        id: 0,
        message_id: note.message_id.unwrap_or(own_id),
        cause: unsaid(note.cause, "unknown"),
        failure: unsaid(note.failure, "unknown"),
        reason: note.reason,
        attempts: note.attempts,
        handler: note.handler,
        origin: unsaid(note.origin, origin),
        key: None,
        headers: Vec::new(),
        body: Vec::new(),
        tombstone: note.tombstone,
        published_at_ms: note.published_at_ms.or(at_ms),
        failed_at_ms: note.failed_at_ms.or(at_ms).unwrap_or(0),
    }
}

/// Opens the letters of a pipeline.
pub fn open<'c>(
    config: &'c Config,
    pipeline: &'c PipelineConfig,
) -> Result<Box<dyn DeadLetterStore + 'c>, Fail> {
    let store = open_beside(config)?;
    match &pipeline.dead_letters {
        LettersConfig::DataDir | LettersConfig::Queue(_) => Ok(Box::new(stored(pipeline, store))),
        #[cfg(feature = "kafka")]
        LettersConfig::Topics(topics) => {
            let there = Box::new(topics::open(pipeline, topics, store.clone())?);
            Ok(Box::new(Both { here: stored(pipeline, store), there }))
        }
        #[cfg(feature = "redis")]
        LettersConfig::Redis(place) => {
            let there = Box::new(redis::open(pipeline, place, &store)?);
            Ok(Box::new(Both { here: stored(pipeline, store), there }))
        }
        #[cfg(feature = "sqs")]
        LettersConfig::Sqs(LetterQueue::Queue(queue)) => {
            let there = Box::new(queues::open(pipeline, queue, &store)?);
            Ok(Box::new(Both { here: stored(pipeline, store), there }))
        }
        #[cfg(feature = "sqs")]
        LettersConfig::Sqs(LetterQueue::Redrive) => {
            let queue = crate::commands::brokers::sqs::redriven(pipeline).map_err(Fail::refused)?;
            Ok(Box::new(queues::open(pipeline, &queue, &store)?))
        }
    }
}

/// Where the broker keeps them, and here those that it does not take. Their ids tell them apart.
#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
struct Both<'c> {
    here: Stored<'c>,
    there: Box<dyn DeadLetterStore + 'c>,
}

#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
impl Both<'_> {
    /// Who keeps these. A page is of one kind: one place is looked at after the other.
    fn of(&self, letters: &[Found]) -> &dyn DeadLetterStore {
        match letters.first().map(|found| &found.id) {
            Some(LetterId::Number(_)) => &self.here,
            _ => &*self.there,
        }
    }
}

#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
impl DeadLetterStore for Both<'_> {
    fn each(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail> {
        if matches!(which.id, Some(LetterId::Number(_))) {
            return self.here.each(which, limit, see);
        }
        // What is here is met also when the broker cannot be asked.
        let begun = self.there.begins();
        let here = self.here.each(which, limit, see)?;
        begun?;
        Ok(here + self.there.each(which, limit, see)?)
    }

    fn replay(&self, letters: Vec<Found>) -> Result<u64, Fail> {
        // Whoever keeps it now: when it fails again it may be the other.
        self.there.goes_back(&letters);
        self.of(&letters).replay(letters)
    }

    fn purge(&self, letters: &[Found]) -> Result<u64, Fail> {
        self.of(letters).purge(letters)
    }

    fn back(&self) -> &Back<'_> {
        self.here.back()
    }
}

/// In the data directory, or in an embedded queue.
struct Stored<'c> {
    pipeline: &'c PipelineConfig,
    store: Store,
    back: Back<'c>,
}

fn stored(pipeline: &PipelineConfig, store: Store) -> Stored<'_> {
    Stored { pipeline, back: Back::of(pipeline, &store), store }
}

impl Stored<'_> {
    fn queue(&self) -> Option<&str> {
        self.pipeline.dead_letters.queue()
    }
}

impl DeadLetterStore for Stored<'_> {
    fn each(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail> {
        let id = match &which.id {
            None => None,
            Some(LetterId::Number(number)) => Some(*number),
            // No letter here has such an id.
            Some(LetterId::Place { .. } | LetterId::Message(_)) => return Ok(0),
        };
        let (mut after, mut seen) = (0, 0);
        let until = self.store.last_letter(&self.pipeline.name, self.queue())?;
        loop {
            let filter = LetterFilter { id, cause: which.cause.clone(), after, until, limit };
            let page = self.store.letters(&self.pipeline.name, self.queue(), &filter)?;
            let Some(last) = page.last() else { return Ok(seen) };
            after = last.id;
            seen += page.len() as u64;
            see(page.into_iter().map(|l| Found { id: LetterId::Number(l.id), letter: l }).collect())?;
        }
    }

    fn replay(&self, letters: Vec<Found>) -> Result<u64, Fail> {
        if !self.back.is_here() {
            return self.back.put(letters, |gone| self.purge(gone));
        }
        // One transaction moves them.
        let keyed = letters.into_iter().map(|found| {
            let key = letter::ledger_key(self.pipeline, &found.letter);
            (found.letter, key)
        });
        let letters: Vec<_> = keyed.collect();
        Ok(self.store.replay(&self.pipeline.name, self.queue(), &letters)? as u64)
    }

    fn purge(&self, letters: &[Found]) -> Result<u64, Fail> {
        let ids: Vec<u64> = letters.iter().map(|found| found.letter.id).collect();
        Ok(self.store.purge(&self.pipeline.name, self.queue(), &ids)? as u64)
    }

    fn back(&self) -> &Back<'_> {
        &self.back
    }
}
