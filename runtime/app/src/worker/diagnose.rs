//! What brokers say of how they are set up, against the configuration.

#[cfg(feature = "sqs")]
use crate::config::Config;
use crate::config::PipelineConfig;
#[cfg(feature = "sqs")]
use crate::registry::{LettersConfig, SourceConfig};
use pelton_core::broker::Diagnosis;
#[cfg(feature = "sqs")]
use pelton_sqs::LetterQueue;

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
