//! Where the ledger of a pipeline is, as it is configured.

use super::databases::{HomeConfig, named};
use super::{DAY, is_name};
use crate::registry;
use crate::settings::Section;
use std::time::Duration;

/// From when a claim of a worker that is not heard of may be taken over, where nothing else is said and the
/// handler's timeout is no longer.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(300);

/// The ledger of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerConfig {
    /// The database that it is in; none: the data directory.
    pub home: Option<HomeConfig>,
    /// Its name there.
    pub name: String,
    pub claim_timeout: Duration,
    /// The messages of a chunk share a transaction.
    pub per_chunk: bool,
}

impl LedgerConfig {
    /// The database that keeps the pipeline's state and outbox too; none: the data directory does.
    pub fn effects(&self) -> Option<&HomeConfig> {
        self.home.as_ref().filter(|home| home.offers().effects)
    }
}

/// What the section has to know of its pipeline.
pub struct OfPipeline<'p> {
    pub name: &'p str,
    pub timeout: Duration,
    /// The database that its handler may run statements in.
    pub sql: Option<&'p HomeConfig>,
    /// Whether one is granted, though it may not be there.
    pub grants_sql: bool,
    pub databases: &'p [HomeConfig],
}

/// Reads the section `ledger` of a pipeline.
pub fn ledger(section: Section<'_>, pipeline: &OfPipeline<'_>) -> LedgerConfig {
    let home = home(&section, pipeline);
    let words = [("message", false), ("chunk", true)];
    let config = LedgerConfig {
        name: section.text("name").unwrap_or_else(|| pipeline.name.to_owned()),
        claim_timeout: section.duration("claim_timeout", CLAIM_TIMEOUT.max(pipeline.timeout)),
        per_chunk: section.word("transaction", &words, false),
        home,
    };
    if section.has("name") && !is_name(&config.name) {
        section.problem("name", "is no name for a ledger: use 1 to 64 of a-z, A-Z, 0-9, `-` and `_`");
    }
    if config.claim_timeout < Duration::from_secs(1) || config.claim_timeout > DAY {
        section.problem("claim_timeout", "must be from 1s to 1d");
    } else if config.claim_timeout < pipeline.timeout {
        let what = format!(
            "is {:?}, and a handler may run for {:?} (`handler.timeout`): another worker would take its \
             message over meanwhile; make it longer",
            config.claim_timeout, pipeline.timeout
        );
        section.problem("claim_timeout", what);
    }
    if section.has("transaction") && !pipeline.grants_sql {
        let what = "is given without `grants.sql`: there is no transaction of a handler's; leave it out";
        section.problem("transaction", what);
    }
    let is_named = section.has("database") || section.has("dynamodb") || pipeline.grants_sql;
    for key in ["name", "claim_timeout"].into_iter().filter(|key| section.has(key) && !is_named) {
        section.problem(
            key,
            "is given without a database: the ledger is in `data_dir`, which one worker owns; name one with \
             `database`, or leave this out",
        );
    }
    section.finish();
    config
}

fn home(section: &Section<'_>, pipeline: &OfPipeline<'_>) -> Option<HomeConfig> {
    let OfPipeline { sql, databases, .. } = *pipeline;
    let database = section.text("database");
    if section.has("dynamodb") {
        let path = section.at("dynamodb");
        let found = registry::dynamodb(section.section("dynamodb"))?;
        if database.is_some() {
            section.problem("dynamodb", "is given beside `database`; leave one of them out");
        } else if let Some(sql) = sql {
            let what = format!(
                "is given beside `grants.sql`: a statement in `{}` and a ledger elsewhere cannot commit \
                 together; leave it out, and the ledger is in `{0}`",
                sql.name
            );
            section.problem("dynamodb", what);
        }
        return Some(HomeConfig::of_pipeline(path, found));
    }
    let named = match &database {
        None => return sql.cloned(),
        Some(name) => named(section, "database", name, databases),
    };
    if let (Some(named), Some(sql)) = (&named, sql)
        && named.name != sql.name
    {
        let what = format!(
            "is `{}`, and `grants.sql` names `{}`: two databases cannot commit together; leave this out, \
             and the ledger is where the statements run",
            named.name, sql.name
        );
        section.problem("database", what);
    }
    named
}
