//! What a pipeline grants its handler, as it is configured. Nothing is looked up yet: where values stand is
//! known, and what they are is not.

use super::databases::{HomeConfig, named};
use super::given::{Given, is_variable};
use super::http::{HttpConfig, LimitsConfig, http};
use super::is_name;
use crate::registry::{TargetConfig, target};
use crate::settings::{Section, Written};
use std::path::Path;
use std::time::Duration;

/// The store that each pipeline has for itself.
pub const OWN_STORE: &str = "default";
/// Bytes of the name of a value.
const NAME_BYTES: usize = 256;

/// All that is granted. The default grants nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GrantsConfig {
    pub http: Vec<HttpConfig>,
    pub http_limits: LimitsConfig,
    /// Values by name; none when they are not granted.
    pub config: Option<Vec<(String, Given)>>,
    /// Variables of the environment.
    pub environment: Vec<String>,
    /// Stores of state, by name; `default` is the pipeline's own, any other is shared.
    pub state: Vec<String>,
    /// Bytes that some of these may hold, at most.
    pub state_bounds: Vec<(String, u64)>,
    /// The database that it may run statements in.
    pub sql: Option<HomeConfig>,
    /// Where goes what the handler sends, by the name that it uses.
    pub outbox: Vec<(String, TargetConfig)>,
    /// Messages of the outbox that may wait; beyond, the pipeline pauses.
    pub outbox_limit: OutboxLimit,
}

/// Messages of one pipeline's outbox that may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimit(pub u64);

impl Default for OutboxLimit {
    fn default() -> Self {
        Self(100_000)
    }
}

impl GrantsConfig {
    /// Whether something may be committed with a completion.
    pub fn stages(&self) -> bool {
        !self.state.is_empty() || !self.outbox.is_empty()
    }

    /// Bytes that a store of it may hold, at most.
    pub fn bound_of(&self, store: &str) -> Option<u64> {
        self.state_bounds.iter().find(|(bounded, _)| bounded == store).map(|(_, max)| *max)
    }

    /// Whether something of a message may be done more than once, when it is handled more than once.
    pub fn acts(&self) -> bool {
        self.stages() || self.sql.is_some() || !self.http.is_empty()
    }
}

/// What the file has beside a pipeline, and its grants may name.
#[derive(Clone, Copy)]
pub struct Nameable<'f> {
    /// The stores that may be shared.
    pub stores: &'f [StoreConfig],
    pub databases: &'f [HomeConfig],
}

/// Reads the section `grants` of a pipeline, whose handler may run for `timeout`.
pub fn grants(
    section: Section<'_>,
    pipeline: &str,
    base: &Path,
    timeout: Duration,
    others: Nameable<'_>,
) -> GrantsConfig {
    let OutboxLimit(limit) = OutboxLimit::default();
    let (http, http_limits) = http(&section, base, timeout);
    let mut grants = GrantsConfig {
        http,
        http_limits,
        config: section.has("config").then(|| values(&section.section("config"), base)),
        environment: environment(&section),
        state: state(&section, others.stores),
        state_bounds: Vec::new(),
        sql: sql(&section, others.databases),
        outbox: outbox(&section, pipeline),
        outbox_limit: OutboxLimit(section.number("outbox_limit", 1..=100_000_000, limit)),
    };
    grants.state_bounds = bounds(&grants.state, others.stores);
    if section.has("outbox_limit") && grants.outbox.is_empty() {
        section
            .problem("outbox_limit", "is given without `outbox`; name a target there, or leave this out");
    }
    section.finish();
    grants
}

/// A store that pipelines share: `[stores.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub name: String,
    /// Bytes of all its keys and values, at most.
    pub max_bytes: Option<u64>,
}

/// The stores that are shared.
pub fn stores(root: &Section<'_>) -> Vec<StoreConfig> {
    let named = |(name, section): (String, Section<'_>)| {
        if name == OWN_STORE {
            let what =
                "is the name of the store that each pipeline has for itself; give the shared one another";
            section.problems.note(&section.path, what);
        } else if !is_name(&name) {
            let what = "is no name for a store: use 1 to 64 of a-z, A-Z, 0-9, `-` and `_`";
            section.problems.note(&section.path, what);
        }
        let max_bytes = section.has("max_bytes").then(|| section.size("max_bytes", 0) as u64);
        section.finish();
        StoreConfig { name, max_bytes }
    };
    root.sections("stores").into_iter().map(named).collect()
}

/// Of those that are granted.
fn bounds(granted: &[String], all: &[StoreConfig]) -> Vec<(String, u64)> {
    let granted = all.iter().filter(|store| granted.contains(&store.name));
    granted.filter_map(|store| Some((store.name.clone(), store.max_bytes?))).collect()
}

fn values(section: &Section<'_>, base: &Path) -> Vec<(String, Given)> {
    let mut all = Vec::new();
    for (name, written) in section.entries() {
        if name.is_empty() || name.len() > NAME_BYTES {
            section.problem(&name, format!("must have a name of 1 to {NAME_BYTES} bytes"));
        }
        all.extend(Given::read(section, &name, written, base).map(|given| (name, given)));
    }
    all
}

fn environment(section: &Section<'_>) -> Vec<String> {
    let names = section.texts("environment");
    for name in names.iter().filter(|name| !is_variable(name)) {
        let what = format!("names `{name}`, which is no variable: letters, digits and `_`");
        section.problem("environment", what);
    }
    names
}

fn state(section: &Section<'_>, shared: &[StoreConfig]) -> Vec<String> {
    let names = match section.written("state") {
        None | Some(Written::Flag(false)) => return Vec::new(),
        Some(Written::Flag(true)) => return vec![OWN_STORE.to_owned()],
        Some(Written::Texts(names)) if !names.is_empty() => names,
        Some(_) => {
            let what = "must be true, for the store \"default\", or a list of names, such as [\"default\", \
                        \"totals\"]";
            section.problem("state", what);
            return Vec::new();
        }
    };
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            section.problem("state", format!("names `{name}` twice"));
        } else if name != OWN_STORE && !shared.iter().any(|store| store.name == *name) {
            let what = format!(
                "names `{name}`, which is no store of this file; write `[stores.{name}]`, or \"default\" for \
                 the pipeline's own"
            );
            section.problem("state", what);
        }
    }
    names
}

/// At most one: no two commit together.
fn sql(section: &Section<'_>, databases: &[HomeConfig]) -> Option<HomeConfig> {
    let names = match section.written("sql")? {
        Written::Texts(names) => names,
        Written::Flag(_) | Written::Text(_) | Written::Table(_) | Written::Other(_) => {
            section.problem("sql", "must be a list of one name, such as [\"shop\"], of `[databases.shop]`");
            return None;
        }
    };
    match names.as_slice() {
        [] => {
            section.problem("sql", "is an empty list; name a database, or leave it out");
            None
        }
        [name] => named(section, "sql", name, databases),
        [_, _, ..] => {
            let what = format!(
                "names {} databases, and one can commit with a message; leave one here, and reach the \
                 others by `grants.http`",
                names.len()
            );
            section.problem("sql", what);
            None
        }
    }
}

fn outbox(section: &Section<'_>, pipeline: &str) -> Vec<(String, TargetConfig)> {
    let mut all = Vec::new();
    for (name, table) in section.sections("outbox") {
        if !is_name(&name) {
            let what = "is no name for a target: use 1 to 64 of a-z, A-Z, 0-9, `-` and `_`";
            table.problems.note(&table.path, what);
        }
        all.extend(target(table, pipeline, &name).map(|target| (name, target)));
    }
    all
}
