//! The way back: letters that are kept elsewhere go into what their pipeline reads.

use super::{Found, letter};
use crate::config::PipelineConfig;
use crate::exit::Fail;
use crate::registry::SourceConfig;
use pelton_store::Store;

/// Where letters of a pipeline go back to.
pub enum Back<'c> {
    /// An embedded queue.
    Embedded { pipeline: &'c PipelineConfig, store: Store },
    #[cfg(feature = "kafka")]
    Kafka(Box<super::topics::Back<'c>>),
    #[cfg(feature = "redis")]
    Redis(Box<super::redis::Back<'c>>),
    #[cfg(feature = "sqs")]
    Sqs(Box<super::queues::Back<'c>>),
}

impl<'c> Back<'c> {
    /// Nothing is asked yet.
    pub fn of(pipeline: &'c PipelineConfig, store: &Store) -> Self {
        match &pipeline.source {
            SourceConfig::Embedded(_) => Self::Embedded { pipeline, store: store.clone() },
            #[cfg(feature = "kafka")]
            SourceConfig::Kafka(kafka) => Self::Kafka(Box::new(super::topics::Back::new(pipeline, kafka))),
            #[cfg(feature = "redis")]
            SourceConfig::Redis(redis) => Self::Redis(Box::new(super::redis::Back::new(pipeline, redis))),
            #[cfg(feature = "sqs")]
            SourceConfig::Sqs(sqs) => Self::Sqs(Box::new(super::queues::Back::new(pipeline, sqs))),
        }
    }

    /// Whether letters go back into the data directory's own database.
    pub fn is_here(&self) -> bool {
        matches!(self, Self::Embedded { .. })
    }

    /// What a letter that goes back is known by, if it should be one again: its replay has a name where the
    /// message carries one, and else it is the message's id.
    #[cfg(feature = "sqs")]
    pub fn mark(&self, found: &Found) -> String {
        match self {
            Self::Sqs(back) => back.replay(found),
            #[cfg(feature = "redis")]
            Self::Redis(back) if back.names_replays() => back.replay(found),
            _ => found.letter.message_id.clone(),
        }
    }

    /// Where a letter would go, in words.
    pub fn destination(&self, found: &Found) -> String {
        match self {
            Self::Embedded { .. } => format!("queue {}", found.letter.origin),
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => super::topics::destination(&found.letter),
            #[cfg(feature = "redis")]
            Self::Redis(back) => back.destination(),
            #[cfg(feature = "sqs")]
            Self::Sqs(back) => back.destination(&found.letter),
        }
    }

    /// Puts letters back, and waits until they are there. `end` is given those that are: when this is cut
    /// short before it, a message is there twice, never lost.
    pub fn put(
        &self,
        letters: Vec<Found>,
        end: impl FnOnce(&[Found]) -> Result<u64, Fail>,
    ) -> Result<u64, Fail> {
        let results = self.send(&letters)?;
        let (mut gone, mut refused) = (Vec::new(), Ok(()));
        for (found, result) in letters.into_iter().zip(results) {
            match result {
                Ok(()) => gone.push(found),
                Err(why) => refused = refused.and_then(|()| Err(self.stays(&found, &why))),
            }
        }
        let count = end(&gone)?;
        refused.map(|()| count)
    }

    fn send(&self, letters: &[Found]) -> Result<Vec<Result<(), String>>, Fail> {
        match self {
            Self::Embedded { pipeline, store } => {
                let keyed = letters
                    .iter()
                    .map(|found| (found.letter.clone(), letter::ledger_key(pipeline, &found.letter)));
                store.put_back(&pipeline.name, &keyed.collect::<Vec<_>>())?;
                Ok(vec![Ok(()); letters.len()])
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(back) => back.send(letters),
            #[cfg(feature = "redis")]
            Self::Redis(back) => back.send(letters),
            #[cfg(feature = "sqs")]
            Self::Sqs(back) => back.send(letters),
        }
    }

    fn stays(&self, found: &Found, why: &str) -> Fail {
        let to = self.destination(found);
        Fail::refused(format!(
            "letter {} could not be put back into {to}: {why}. It stays a letter",
            found.id
        ))
    }
}
