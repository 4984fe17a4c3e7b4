//! What a pipeline's broker says, asked from outside.

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqs")]
pub mod sqs;
pub mod target;

use crate::books::NameFile;
#[cfg(feature = "kafka")]
use crate::commands::letters;
use crate::commands::store_fail;
use crate::config::{Config, PipelineConfig, Problem};
use crate::exit::{CONFIG, Fail, INTERNAL};
use crate::registry::LettersConfig;
#[cfg(feature = "sqs")]
use crate::registry::SourceConfig;
use pelton_core::broker::{Diagnosis, OpenError};
#[cfg(feature = "sqs")]
use pelton_sqs::LetterQueue;
use pelton_store::{Store, StoreError};

/// What stands against opening a pipeline's source and letters as they are configured, as far as that is
/// known without asking anybody. Nothing begins. Blocks.
pub fn probe(config: &Config, pipeline: &PipelineConfig) -> Vec<Problem> {
    let source = pipeline.source.broker();
    let mut against = source.probe(&config.view(pipeline), &NameFile::of(config));
    against.extend(pipeline.dead_letters.place().into_iter().flat_map(|place| place.probe(source)));
    let problem = |what| Problem { path: format!("pipelines.{}.source", pipeline.name), what };
    against.into_iter().map(problem).collect()
}

/// Why something of a pipeline cannot be opened.
pub fn open_fail(pipeline: &str, error: OpenError) -> Fail {
    match error {
        OpenError::Settings(why) => {
            Fail::new(CONFIG, anyhow::anyhow!("pipelines.{pipeline}.source: {why}"))
        }
        OpenError::Refused(why) => Fail::refused(why),
        OpenError::Books(error) => match error.downcast::<StoreError>() {
            Ok(error) => store_fail(*error),
            Err(other) => Fail::new(INTERNAL, anyhow::anyhow!(other)),
        },
    }
}

/// Looks at where a pipeline's dead letters go, by asking its broker. Blocks.
pub fn diagnose_letters(pipeline: &PipelineConfig) -> Diagnosis {
    let place = pipeline.dead_letters.place();
    place.map_or_else(Diagnosis::default, |place| place.diagnose(pipeline.source.broker()))
}

/// Says in the log what of the queues of SQS contradicts the pipelines. Asks in the background, once; where
/// the service does not answer within the client's own patience, that is said by who works with it.
/// Within the runtime.
#[cfg(feature = "sqs")]
pub fn advise(config: &Config) {
    let of_sqs = |pipeline: &&PipelineConfig| {
        matches!(pipeline.source, SourceConfig::Sqs(_))
            || matches!(pipeline.dead_letters, LettersConfig::Sqs(LetterQueue::Queue(_)))
    };
    for pipeline in config.pipelines.iter().filter(of_sqs).cloned() {
        let view = config.view(&pipeline);
        drop(tokio::task::spawn_blocking(move || {
            let source = pipeline.source.broker().diagnose(&view);
            let letters = diagnose_letters(&pipeline);
            for (part, found) in [("source", source), ("dead_letter", letters)] {
                let pipeline = pipeline.name.as_str();
                found.warnings.iter().for_each(|what| tracing::warn!(pipeline, "{part}: {what}"));
                found.problems.iter().for_each(|what| tracing::error!(pipeline, "{part}: {what}"));
            }
        }));
    }
}

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
