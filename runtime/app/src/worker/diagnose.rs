//! What brokers say of how they are set up, against the configuration.

use crate::config::{Config, PipelineConfig};
use crate::registry::LettersConfig;
use pelton_core::broker::{DeadLetterPlace, Diagnosis, PipelineView};

/// Looks at where a pipeline's dead letters go, by asking its broker. Blocks.
pub fn diagnose_letters(pipeline: &PipelineConfig, view: &PipelineView) -> Diagnosis {
    let mut found = Diagnosis::default();
    for place in places(pipeline) {
        found.add(place.diagnose(pipeline.source.broker(), view));
    }
    found
}

fn places(pipeline: &PipelineConfig) -> impl Iterator<Item = &dyn DeadLetterPlace> {
    pipeline.letter_places().into_iter().filter_map(LettersConfig::place)
}

/// What `check` says of a pipeline: of its source, and of where its letters go. Blocks.
pub fn look(pipeline: &PipelineConfig, view: &PipelineView) -> [Diagnosis; 2] {
    let source = pipeline.source.broker();
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
            let mut found = Diagnosis::default();
            places(pipeline).for_each(|place| found.add(place.rights(source)));
            found
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
        let asks_letters = places(&pipeline).any(DeadLetterPlace::is_diagnosed_at_start);
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
