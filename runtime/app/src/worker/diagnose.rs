//! What brokers say of how they are set up, against the configuration.

use crate::config::{Config, PipelineConfig};
use pelton_core::broker::{DeadLetterPlace, Diagnosis, PipelineView};

/// Looks at where a pipeline's dead letters go, by asking its broker. Blocks.
pub fn diagnose_letters(pipeline: &PipelineConfig, view: &PipelineView) -> Diagnosis {
    let place = pipeline.dead_letters.place();
    place.map_or_else(Diagnosis::default, |place| place.diagnose(pipeline.source.broker(), view))
}

/// What `check` says of a pipeline: of its source, and of where its letters go. Blocks.
pub fn look(pipeline: &PipelineConfig, view: &PipelineView) -> [Diagnosis; 2] {
    let (source, place) = (pipeline.source.broker(), pipeline.dead_letters.place());
    let with_rights = |mut found: Diagnosis, rights: &dyn Fn() -> Diagnosis| {
        // Where something is wrong already, the rest may follow from that.
        if found.problems.is_empty() {
            found.add(rights());
        }
        found
    };
    [
        with_rights(source.diagnose(view), &|| source.rights()),
        with_rights(diagnose_letters(pipeline, view), &|| {
            place.map_or_else(Diagnosis::default, |place| place.rights(source))
        }),
    ]
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
            let letters = asks_letters.then(|| diagnose_letters(&pipeline, &view));
            for (part, found) in [("source", source), ("dead_letter", letters)] {
                let (pipeline, found) = (pipeline.name.as_str(), found.unwrap_or_default());
                found.warnings.iter().for_each(|what| tracing::warn!(pipeline, "{part}: {what}"));
                found.problems.iter().for_each(|what| tracing::error!(pipeline, "{part}: {what}"));
            }
        }));
    }
}
