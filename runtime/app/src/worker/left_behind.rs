//! State and outgoing messages that a pipeline would leave behind in a database which it had before.

use crate::config::{Config, HomeConfig, OWN_STORE, PipelineConfig, Problem};
use crate::moves;
use pelton_core::broker::OpenError;
use pelton_core::effects::HomeBooks;

/// What was found.
#[derive(Default)]
pub struct LeftBehind {
    /// What would stay behind.
    pub problems: Vec<Problem>,
    /// Databases that could not be asked: nobody waits for them.
    pub not_known: Vec<Problem>,
}

/// Asks the databases that pipelines have left, as far as they are in the configuration still. Blocks.
pub fn left_behind(config: &Config) -> LeftBehind {
    let mut all = LeftBehind::default();
    for pipeline in &config.pipelines {
        let path = format!("pipelines.{}.ledger", pipeline.name);
        // What is wrong with the notes is said where the ledger is opened.
        let places = moves::left_databases(config, pipeline).unwrap_or_default();
        for (home, ledger) in places.into_iter().filter(|(home, _)| home.offers().effects) {
            match found(config, pipeline, home, &ledger) {
                Ok(words) => all.problems.extend(words.into_iter().map(|what| Problem::new(&path, what))),
                Err(error) => all.not_known.push(Problem::new(
                    &path,
                    format!(
                        "was in {}, and whether state or messages are left there is not known: {error}",
                        home.database.describe()
                    ),
                )),
            }
        }
    }
    all
}

fn found(
    config: &Config,
    pipeline: &PipelineConfig,
    home: &HomeConfig,
    ledger: &str,
) -> Result<Vec<String>, OpenError> {
    let books = home.database.home_books()?;
    let place = home.database.describe();
    let mut words = Vec::new();
    for store in pipeline.grants.state.iter().filter(|store| !is_used_by_others(config, home, store)) {
        if has_keys(&*books, ledger, store)? {
            words.push(state_stays(&pipeline.name, store, &place));
        }
    }
    for target in books.targets(ledger)?.into_iter().filter(|target| target.backlog.rows > 0) {
        let (name, rows) = (&target.name, target.backlog.rows);
        words.push(format!(
            "was in {place}, where messages wait to be sent to {name} ({rows}): put it back, and let the \
             worker send \
             them until `pelton status` shows none; or remove them for good with `pelton outbox purge {} \
             --target \
             {name}` while it is there",
            pipeline.name
        ));
    }
    Ok(words)
}

/// A store that is shared stays where it is as long as another pipeline has it there.
fn is_used_by_others(config: &Config, home: &HomeConfig, store: &String) -> bool {
    let has = |other: &PipelineConfig| {
        other.ledger.effects().is_some_and(|its| its.is_same(home)) && other.grants.state.contains(store)
    };
    store != OWN_STORE && config.pipelines.iter().any(has)
}

fn has_keys(books: &dyn HomeBooks, ledger: &str, store: &str) -> Result<bool, OpenError> {
    let owner = (store == OWN_STORE).then_some(ledger);
    let Some(bucket) = books.known_bucket(owner, store)? else { return Ok(false) };
    Ok(!books.state_keys(bucket, None, 1)?.is_empty())
}

fn state_stays(pipeline: &str, store: &str, place: &str) -> String {
    let which = if store == OWN_STORE { String::new() } else { format!(" --store {store}") };
    format!(
        "was in {place}, where state of the store {store} would stay behind: put it back, and take the \
         state along \
         with `pelton state export {pipeline}{which} > state.jsonl` and `pelton state delete \
         {pipeline}{which} --all`; \
         then move, and `pelton state import {pipeline}{which} state.jsonl`"
    )
}
