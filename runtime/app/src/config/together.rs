//! Rules that no setting can break alone.

use super::checked::{Config, PipelineConfig};
use super::databases::not_there;
use crate::registry::LettersConfig;
use crate::settings::Problems;
use pelton_core::broker::Contradiction;
use pelton_decode::Envelope;
use pelton_engine::DedupKey;

/// Those of a source and its pipeline, of a pipeline and its database, and of two that share something.
pub fn together(config: &Config, problems: &Problems) {
    for (number, pipeline) in config.pipelines.iter().enumerate() {
        let broker = pipeline.source.broker();
        let mut found = broker.contradictions(&config.view(pipeline));
        let before = &config.pipelines[..number];
        let other = |first: &PipelineConfig| broker.conflict(first.source.broker(), &first.name);
        found.extend(before.iter().flat_map(other).next());
        found.extend(with_letters(config, pipeline));
        found.extend(with_database(pipeline));
        found.extend(with_envelope(pipeline));
        found.extend(before.iter().find_map(|first| same_ledger(first, pipeline)));
        for Contradiction { key, what } in found {
            problems.note(&format!("pipelines.{}.{key}", pipeline.name), what);
        }
    }
}

fn against(key: &str, what: String) -> Contradiction {
    Contradiction { key: key.to_owned(), what }
}

/// A key that only one envelope has.
fn with_envelope(pipeline: &PipelineConfig) -> Option<Contradiction> {
    let envelope = pipeline.decode.envelope;
    let of_body = matches!(pipeline.dedup, DedupKey::Json { .. } | DedupKey::Body);
    if envelope == Some(Envelope::S3Pointer) && of_body && pipeline.source.queue().is_some() {
        let what = "is looked for in the object, and letters of an embedded queue go back by their key, \
                    which nobody reads S3 for; use another key";
        return Some(against("dedup.key", what.to_owned()));
    }
    let (key, wanted) = match pipeline.dedup {
        DedupKey::CloudEvent if envelope != Some(Envelope::CloudEvents) => ("cloudevent", "cloudevents"),
        DedupKey::Sns if !matches!(envelope, Some(Envelope::Sns { .. })) => ("sns", "sns"),
        _ => return None,
    };
    let name = &pipeline.name;
    let what = format!(
        "is `{key}`, which only an opened envelope has; write `[pipelines.{name}.decode]` with envelope = \
         \"{wanted}\" too"
    );
    Some(against("dedup.key", what))
}

/// What a pipeline wants of its database, and does not get there.
fn with_database(pipeline: &PipelineConfig) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let Some(home) = &pipeline.ledger.home else { return found };
    let (offers, place) = (home.offers(), home.database.describe());
    let staged =
        [("state", !pipeline.grants.state.is_empty()), ("outbox", !pipeline.grants.outbox.is_empty())];
    for (word, _) in staged.into_iter().filter(|(_, granted)| *granted && !offers.effects) {
        let what = format!(
            "is granted, and {place} keeps only ledgers: the two could not commit together; leave it out, \
             or have the ledger in `data_dir` or in PostgreSQL"
        );
        found.push(against(&format!("grants.{word}"), what));
    }
    let Some(sql) = &pipeline.grants.sql else { return found };
    if !offers.sql {
        found.push(against("grants.sql", format!("names {place}, which runs no statements of handlers")));
    }
    let (calls, most) = (pipeline.handler.spec.concurrency, sql.database.connections());
    if calls > most {
        let what = format!(
            "is {calls}, and `{}` has {most} connections for a pipeline (`max_connections`), one for each \
             message that runs; make this at most {most}, or that at least {calls}",
            sql.name
        );
        found.push(against("handler.concurrency", what));
    }
    if pipeline.handler.rollout.is_some_and(|plan| plan.shadow) {
        let what = "is true, and the handler is granted `sql`: what a version in the shadow does must not \
                    count, and its statements would; use `canary` without it";
        found.push(against("handler.rollout.shadow", what.to_owned()));
    }
    found
}

fn with_letters(config: &Config, pipeline: &PipelineConfig) -> Vec<Contradiction> {
    let usual = std::iter::once(("dead_letter".to_owned(), &pipeline.dead_letters));
    let by_cause = pipeline.letters_by_cause.iter();
    let by_cause =
        by_cause.map(|(cause, place)| (format!("dead_letter.by_cause.{}", cause.as_str()), place));
    let in_database = |(key, place): (String, &LettersConfig)| {
        let what = with_letters_in_database(config, pipeline, place.database()?)?;
        Some(against(&format!("{key}.database"), what))
    };
    usual.chain(by_cause).filter_map(in_database).collect()
}

fn with_letters_in_database(config: &Config, pipeline: &PipelineConfig, name: &str) -> Option<String> {
    Some(match &pipeline.ledger.home {
        _ if !config.databases.iter().any(|home| home.name == name) => not_there(name, &config.databases),
        Some(home) if home.name == name && home.offers().letters => return None,
        Some(home) if home.name == name => {
            format!(
                "names {}, which keeps only ledgers; leave it out, or name a queue",
                home.database.describe()
            )
        }
        Some(home) => format!(
            "is `{name}`, and the ledger is in `{}`: a letter and the end of its message could not commit \
             together; name the same",
            home.name
        ),
        None => format!(
            "is `{name}`, and the ledger is in `data_dir`: a letter and the end of its message could not \
             commit together; write `[pipelines.{}.ledger]` with database = \"{name}\" too",
            pipeline.name
        ),
    })
}

/// Two pipelines with one ledger would take each other's messages for duplicates.
fn same_ledger(first: &PipelineConfig, second: &PipelineConfig) -> Option<Contradiction> {
    let (one, other) = (&first.ledger, &second.ledger);
    let same_place = match (&one.home, &other.home) {
        (Some(one), Some(other)) => one.database.is_same(&*other.database),
        _ => false,
    };
    let what = || {
        format!(
            "is `{}`, which is the ledger of the pipeline `{}` in the same database already; give it another",
            other.name, first.name
        )
    };
    (same_place && one.name == other.name).then(|| against("ledger.name", what()))
}
