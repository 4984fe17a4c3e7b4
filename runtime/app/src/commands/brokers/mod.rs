//! What a pipeline's broker says, asked from outside.

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqs")]
pub mod sqs;
pub mod target;

#[cfg(feature = "kafka")]
use crate::commands::letters;
use crate::config::PipelineConfig;
use crate::exit::Fail;
use crate::registry::LettersConfig;
#[cfg(feature = "sqs")]
use pelton_sqs::LetterQueue;
use pelton_store::Store;

/// How many letters a broker holds for a pipeline; none when no broker does. Blocks.
#[cfg_attr(
    not(any(feature = "kafka", feature = "sqs")),
    allow(unused_variables, reason = "brokers need it")
)]
pub fn count_letters(pipeline: &PipelineConfig, store: &Store) -> Option<Result<u64, Fail>> {
    match &pipeline.dead_letters {
        LettersConfig::DataDir | LettersConfig::Queue(_) => None,
        #[cfg(feature = "kafka")]
        LettersConfig::Topics(topics) => {
            let there = letters::topics::count(pipeline, topics, store);
            Some(uncounted(pipeline, there.map(|there| there + kept_here(pipeline, store))))
        }
        #[cfg(feature = "redis")]
        LettersConfig::Redis(place) => {
            let there = redis::count_letters(pipeline, place)?;
            Some(there.map(|there| there.saturating_add(kept_here(pipeline, store))))
        }
        #[cfg(feature = "sqs")]
        LettersConfig::Sqs(LetterQueue::Queue(_)) => {
            let there = sqs::count_letters(pipeline);
            Some(uncounted(pipeline, there.map(|there| there + kept_here(pipeline, store))))
        }
        #[cfg(feature = "sqs")]
        LettersConfig::Sqs(LetterQueue::Redrive) => Some(uncounted(pipeline, sqs::count_letters(pipeline))),
    }
}

/// The letters that the broker did not take.
#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
fn kept_here(pipeline: &PipelineConfig, store: &Store) -> u64 {
    store.status(&pipeline.name, None, None).map_or(0, |status| status.dead_letters)
}

/// Says so where letters could not be counted.
#[cfg(any(feature = "kafka", feature = "sqs"))]
fn uncounted(pipeline: &PipelineConfig, counted: Result<u64, Fail>) -> Result<u64, Fail> {
    if let Err(why) = &counted {
        let path = format!("pipelines.{}.dead_letter", pipeline.name);
        note!("warning: {path}: letters are not counted: {}", why.words());
    }
    counted
}
