//! The dead letters of a pipeline, wherever they are kept.

use super::{letter, open_beside};
use crate::cli::{LetterId, Which};
use crate::config::{Config, LettersConfig, PipelineConfig, SourceConfig};
use crate::exit::{Fail, Outcome};
use pelton_store::{LetterFilter, Store, StoredLetter};

/// A letter with its id.
pub struct Found {
    pub id: LetterId,
    pub letter: StoredLetter,
}

/// Reads, replays and removes letters. All of it blocks.
pub trait Letterbox {
    /// Every letter that is meant, in pages of at most `limit`; how many there were.
    fn each(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail>;

    /// Puts letters back where they came from and removes them here; how many were still there.
    fn replay(&self, letters: Vec<Found>) -> Result<u64, Fail>;

    /// Removes letters for good; how many were still there.
    fn purge(&self, letters: &[Found]) -> Result<u64, Fail>;
}

/// Opens the letters of a pipeline.
pub fn open<'c>(config: &'c Config, pipeline: &'c PipelineConfig) -> Result<Box<dyn Letterbox + 'c>, Fail> {
    let store = open_beside(config)?;
    match &pipeline.dead_letters {
        LettersConfig::DataDir | LettersConfig::Queue(_) => Ok(Box::new(stored(pipeline, store))),
        #[cfg(feature = "kafka")]
        LettersConfig::Topics(topics) => Ok(Box::new(super::topic_letters::open(pipeline, topics, store)?)),
        #[cfg(feature = "redis")]
        LettersConfig::Redis(place) => Ok(Box::new(super::redis_letters::open(pipeline, place)?)),
        #[cfg(feature = "sqs")]
        LettersConfig::Sqs(queue_url) => Ok(Box::new(super::queue_letters::open(pipeline, queue_url)?)),
    }
}

/// In the data directory, or in an embedded queue.
struct Stored<'c> {
    pipeline: &'c PipelineConfig,
    store: Store,
    back: Back<'c>,
}

/// The way back to where letters came from.
enum Back<'c> {
    /// The same database.
    Here(std::marker::PhantomData<&'c ()>),
    #[cfg(feature = "kafka")]
    Kafka(super::topic_letters::Back<'c>),
    #[cfg(feature = "redis")]
    Redis(super::redis_letters::Back<'c>),
    #[cfg(feature = "sqs")]
    Sqs(super::queue_letters::Back<'c>),
}

fn stored(pipeline: &PipelineConfig, store: Store) -> Stored<'_> {
    Stored {
        pipeline,
        store,
        back: match &pipeline.source {
            SourceConfig::Embedded { .. } => Back::Here(std::marker::PhantomData),
            #[cfg(feature = "kafka")]
            SourceConfig::Kafka(kafka) => Back::Kafka(super::topic_letters::Back::new(pipeline, kafka)),
            #[cfg(feature = "redis")]
            SourceConfig::Redis(redis) => Back::Redis(super::redis_letters::Back::new(pipeline, redis)),
            #[cfg(feature = "sqs")]
            SourceConfig::Sqs(sqs) => Back::Sqs(super::queue_letters::Back::new(pipeline, sqs)),
        },
    }
}

impl Stored<'_> {
    fn queue(&self) -> Option<&str> {
        self.pipeline.dead_letters.queue()
    }
}

impl Letterbox for Stored<'_> {
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
        loop {
            let filter = LetterFilter { id, cause: which.cause.clone(), after, limit };
            let page = self.store.letters(&self.pipeline.name, self.queue(), &filter)?;
            let Some(last) = page.last() else { return Ok(seen) };
            after = last.id;
            seen += page.len() as u64;
            see(page.into_iter().map(|l| Found { id: LetterId::Number(l.id), letter: l }).collect())?;
        }
    }

    fn replay(&self, letters: Vec<Found>) -> Result<u64, Fail> {
        match &self.back {
            Back::Here(_) => {}
            #[cfg(feature = "kafka")]
            Back::Kafka(back) => return back.put(letters, |gone| self.purge(gone)),
            #[cfg(feature = "redis")]
            Back::Redis(back) => return back.put(letters, |gone| self.purge(gone)),
            #[cfg(feature = "sqs")]
            Back::Sqs(back) => return back.put(letters, |gone| self.purge(gone)),
        }
        let keyed = letters.into_iter().map(|found| {
            let key = letter::dedup_key(self.pipeline, &found.letter);
            (found.letter, key)
        });
        let letters: Vec<_> = keyed.collect();
        Ok(self.store.replay(&self.pipeline.name, self.queue(), &letters)? as u64)
    }

    fn purge(&self, letters: &[Found]) -> Result<u64, Fail> {
        let ids: Vec<u64> = letters.iter().map(|found| found.letter.id).collect();
        Ok(self.store.purge(&self.pipeline.name, self.queue(), &ids)? as u64)
    }
}
