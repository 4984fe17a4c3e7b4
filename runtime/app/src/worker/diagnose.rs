//! What brokers say of how they are set up, against the configuration.

use crate::config::{Config, PipelineConfig};
use pelton_core::broker::{DeadLetterPlace, Diagnosis};

/// Looks at where a pipeline's dead letters go, by asking its broker. Blocks.
pub fn diagnose_letters(pipeline: &PipelineConfig) -> Diagnosis {
    let place = pipeline.dead_letters.place();
    place.map_or_else(Diagnosis::default, |place| place.diagnose(pipeline.source.broker()))
}

/// Says in the log what contradicts the pipelines at brokers whose sources would never notice. Asks in the
/// background, once; where a broker does not answer within the client's own patience, that is said by who
/// works with it. Within the runtime.
pub fn advise(config: &Config) {
    for pipeline in config.pipelines.iter().cloned() {
        let view = config.view(&pipeline);
        let asks_source = pipeline.source.broker().is_diagnosed_at_start();
        let letters = pipeline.dead_letters.place();
        let asks_letters = letters.is_some_and(DeadLetterPlace::is_diagnosed_at_start);
        if !asks_source && !asks_letters {
            continue;
        }
        drop(tokio::task::spawn_blocking(move || {
            let source = asks_source.then(|| pipeline.source.broker().diagnose(&view));
            let letters = asks_letters.then(|| diagnose_letters(&pipeline));
            for (part, found) in [("source", source), ("dead_letter", letters)] {
                let (pipeline, found) = (pipeline.name.as_str(), found.unwrap_or_default());
                found.warnings.iter().for_each(|what| tracing::warn!(pipeline, "{part}: {what}"));
                found.problems.iter().for_each(|what| tracing::error!(pipeline, "{part}: {what}"));
            }
        }));
    }
}
