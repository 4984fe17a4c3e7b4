//! What a pipeline's broker says, asked from outside.

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "redis")]
mod redis_check;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "sqs")]
mod sqs_advice;
pub mod target;

use crate::commands::letters;
use crate::config::{Config, PipelineConfig, Problem};
use crate::exit::Fail;
use crate::registry::{LettersConfig, SourceConfig};
#[cfg(feature = "sqs")]
use pelton_sqs::LetterQueue;
use pelton_store::Store;

/// What stands against opening a pipeline's source and letters as they are configured, as far as that is known without
/// asking anybody. Nothing begins. Blocks.
#[cfg_attr(
    not(any(feature = "kafka", feature = "redis")),
    allow(unused_variables, reason = "brokers need it")
)]
pub fn probe(config: &Config, pipeline: &PipelineConfig) -> Vec<Problem> {
    let against: Vec<String> = match &pipeline.source {
        SourceConfig::Embedded(_) => Vec::new(),
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) => kafka::probe(config, pipeline, kafka),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) => redis::probe(config, pipeline, redis),
        // Whatever may be wrong is known only when the service is asked.
        #[cfg(feature = "sqs")]
        SourceConfig::Sqs(_) => Vec::new(),
    };
    let problem = |what| Problem { path: format!("pipelines.{}.source", pipeline.name), what };
    against.into_iter().map(problem).collect()
}

/// What a look found, in words.
#[derive(Default)]
pub struct Findings {
    /// The pipeline cannot work like that.
    pub problems: Vec<String>,
    /// It can, and will lose something that its owner may want.
    pub warnings: Vec<String>,
}

/// Looks at how a pipeline and its queue go together, by asking its broker. Blocks.
pub fn look_at_source(pipeline: &PipelineConfig) -> Findings {
    match &pipeline.source {
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) => redis_check::check(pipeline, redis),
        #[cfg(feature = "sqs")]
        SourceConfig::Sqs(sqs) => sqs_advice::of_source(pipeline, sqs),
        _ => Findings::default(),
    }
}

/// Looks at where a pipeline's dead letters go, by asking its broker. Blocks.
pub fn look_at_letters(pipeline: &PipelineConfig) -> Findings {
    match (&pipeline.source, &pipeline.dead_letters) {
        #[cfg(feature = "kafka")]
        (SourceConfig::Kafka(kafka), LettersConfig::Topics(topics)) => {
            letters::topics::check(kafka, topics)
        }
        #[cfg(feature = "redis")]
        (_, LettersConfig::Redis(place)) => redis_check::check_letters(pipeline, place),
        #[cfg(feature = "sqs")]
        (_, LettersConfig::Sqs(_)) => sqs_advice::of_letters(pipeline),
        _ => Findings::default(),
    }
}

/// Says in the log what of the queues of SQS contradicts the pipelines. Asks in the background, once; where
/// the service does not answer within the client's own patience, that is said by who works with it.
/// Within the runtime.
#[cfg(feature = "sqs")]
pub fn advise(pipelines: &[PipelineConfig]) {
    let of_sqs = |pipeline: &&PipelineConfig| {
        matches!(pipeline.source, SourceConfig::Sqs(_))
            || matches!(pipeline.dead_letters, LettersConfig::Sqs(LetterQueue::Queue(_)))
    };
    for pipeline in pipelines.iter().filter(of_sqs).cloned() {
        drop(tokio::task::spawn_blocking(move || {
            let (source, letters) = (look_at_source(&pipeline), look_at_letters(&pipeline));
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
        note!("warning: {path}: letters are not counted: {:#}", why.error);
    }
    counted
}
