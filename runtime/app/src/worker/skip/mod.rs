//! Giving up on one message: finding it, and writing its letter.

pub mod letter;
pub mod running;

use crate::books::{PipelineBooks, PipelineLedger};
use crate::config::{Config, HomeConfig, PipelineConfig};
use crate::homes;
use pelton_core::broker::{Look, WantedMessage};
use pelton_core::pipeline::{Named, Skip};
use pelton_core::ports::Scope;
use pelton_store::Store;
use std::sync::Arc;
use std::time::Duration;

/// Everything that is needed to find a message.
pub struct SkipTarget {
    pub config: Arc<Config>,
    pub pipeline: PipelineConfig,
    pub store: Store,
    pub ledger: PipelineLedger,
    /// As it was typed.
    pub text: String,
    /// How long it may take to come.
    pub wait: Duration,
    /// A worker runs the pipeline.
    pub runs: bool,
}

impl SkipTarget {
    /// As the pipeline's broker is asked for it.
    fn wanted(&self) -> WantedMessage {
        let books = PipelineBooks::new(&self.config, &self.pipeline.name, &self.store, &self.ledger);
        WantedMessage {
            text: self.text.clone(),
            wait: self.wait,
            runs: self.runs,
            pipeline: self.config.view(&self.pipeline),
            books: Arc::new(books),
        }
    }
}

/// What the core knows the message by. `Err` says that the place is none.
pub fn named(place: &SkipTarget) -> Result<Named, String> {
    place.pipeline.source.broker().named(&place.wanted())
}

/// Looks for a message that the pipeline does not hold. `Err` says why it is not skipped. Blocks.
pub fn look(place: &SkipTarget) -> Result<Look, String> {
    is_open(place)?;
    place.pipeline.source.broker().look(&place.wanted())
}

/// Refuses what the ledger knows as done.
fn is_open(place: &SkipTarget) -> Result<(), String> {
    if let Some(home) = place.pipeline.ledger.home.as_ref() {
        return is_open_in(home, place);
    }
    let (name, source) = (&place.pipeline.name, &place.pipeline.source);
    let (queue, key) = (source.queue(), source.broker().ledger_key(&place.text));
    let known = place.store.ledger_show(name, queue, &key).map_err(|error| error.to_string())?;
    match known {
        Some(entry) if entry.completed => {
            Err(format!("{} is completed: there is nothing to skip", place.text))
        }
        Some(entry) if entry.lettered => {
            Err(format!("{} was given up on before: `pelton dlq list {name}` shows its letter", place.text))
        }
        _ => Ok(()),
    }
}

/// The same, of a ledger that is in a database.
fn is_open_in(home: &HomeConfig, place: &SkipTarget) -> Result<(), String> {
    let SkipTarget { pipeline, store, text, .. } = place;
    let (name, key) = (&pipeline.name, pipeline.source.broker().ledger_key(text));
    let mut books = home.database.books().map_err(|error| error.to_string())?;
    for item in homes::items(pipeline, store.data_dir_id(), key.as_bytes())? {
        let known = books.known(&pipeline.ledger.name, &item).map_err(|error| error.to_string())?;
        match known.unwrap_or_default() {
            known if known.completed_at_ms.is_some() => {
                return Err(format!("{text} is completed: there is nothing to skip"));
            }
            known if known.lettered => {
                return Err(format!(
                    "{text} was given up on before: `pelton dlq list {name}` shows its letter"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What tells a message from those of other sources with such an id, for a ledger that is shared.
pub fn scope(place: &SkipTarget) -> Result<Option<Scope>, String> {
    if place.ledger.part.is_none() {
        return Ok(None);
    }
    let scopes = homes::scopes(&place.pipeline, place.store.data_dir_id(), &place.text)?;
    Ok(scopes.into_iter().next())
}

/// What the core is told.
pub fn order(named: Named, reason: String) -> Skip {
    Skip { named, reason }
}
