//! From what pipelines grant, as it is configured, to what their handlers have: files and variables are read,
//! names become places. What is read here may be a secret, and is shown nowhere.

pub mod advice;
mod flow;
mod nowhere;
mod stand_in;

pub use stand_in::{no_database, stand_ins, targets};

use crate::config::certificates;
use crate::config::{
    Config, Given, GrantsConfig, HttpConfig, OWN_STORE, PipelineConfig, Problem, SECRET_BYTES,
};
use crate::homes::Homes;
use crate::registry::TargetConfig;
use pelton_core::broker::{OpenError, not_a_handlers, too_large};
use pelton_core::database::DatabaseHome;
use pelton_core::effects::{Bucket, Database, KnownTarget, StagedMessage, StateHome, Target};
use pelton_host::{
    Grants, HttpGrant, HttpLimits, OutboxGrant, Outlet, Refuses, SqlGrant, StateGrant, StoreBound,
};
use pelton_store::{KeptState, Store, StoreError, Where};
use std::sync::Arc;

/// Who keeps state and outbox.
#[derive(Clone, Copy)]
pub enum Home<'s> {
    /// The data directory, which this process owns, and the databases that it has open.
    Worker(&'s Store, &'s Homes),
    /// Nobody: components are looked at, and no message is handled.
    Nowhere,
}

/// What was found on the way.
#[derive(Debug, Default)]
pub struct Found {
    pub problems: Vec<Problem>,
    /// What is to be said, and keeps nothing from working.
    pub warnings: Vec<Problem>,
}

/// Gives the handlers of all pipelines what is granted to them. Blocks. `Err` is of the store.
pub fn resolve(config: &mut Config, home: Home<'_>) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let max = config.max_message_bytes;
    passwords(config, &mut found);
    for pipeline in &mut config.pipelines {
        let grants = granted(pipeline, home, max, &mut found)?;
        pipeline.handler.spec.grants = Arc::new(grants);
    }
    Ok(found)
}

/// Sees that the passwords of databases are where they should be: each is read again for each connection.
fn passwords(config: &Config, found: &mut Found) {
    for home in &config.databases {
        let path = format!("databases.{}.password", home.name);
        match home.password() {
            Ok(warning) => found.warnings.extend(warning.map(|what| Problem::new(path, what))),
            Err(why) => found.problems.push(Problem::new(path, why)),
        }
    }
}

/// What a pipeline grants, without its values: enough to tell what is granted.
pub fn outline(granted: &GrantsConfig) -> Grants {
    let stores = granted.state.iter().map(|name| (name.clone(), Bucket(0))).collect();
    let outlet = |(name, to): &(String, TargetConfig)| Outlet {
        name: name.clone(),
        target: Target(0),
        refuses: refuses(to, usize::MAX),
    };
    let targets: Vec<Outlet> = granted.outbox.iter().map(outlet).collect();
    Grants {
        state: (!granted.state.is_empty()).then(|| StateGrant { home: Arc::new(nowhere::NoState), stores }),
        outbox: (!targets.is_empty()).then_some(OutboxGrant { targets }),
        ..stand_ins(granted)
    }
}

fn granted(
    pipeline: &PipelineConfig,
    home: Home<'_>,
    max: usize,
    found: &mut Found,
) -> Result<Grants, StoreError> {
    let (name, granted) = (&*pipeline.name, &pipeline.grants);
    let mut reading = Reading { path: format!("pipelines.{name}.grants"), found, secrets: Vec::new() };
    let http = granted.http.iter().map(|place| reading.http(place)).collect();
    let http_limits = reading.limits(granted);
    let named = |(name, given): &(String, Given), reading: &mut Reading<'_>| {
        Some((name.clone(), reading.value(&format!("config.{name}"), given)?))
    };
    let config = granted.config.as_ref();
    let config = config.map(|all| all.iter().filter_map(|one| named(one, &mut reading)).collect());
    let environment = granted.environment.iter().filter_map(|name| reading.variable(name)).collect();
    let secrets = reading.secrets();
    let database = database(pipeline, home, found);
    let state = state(pipeline, home, database.as_deref())?;
    let state_bounds = bounds(granted, state.as_ref());
    Ok(Grants {
        http,
        http_limits,
        config,
        environment,
        secrets,
        sql: sql(pipeline, home, found),
        state,
        state_bounds,
        outbox: outbox(pipeline, home, database.as_deref(), max)?,
        ..Grants::default()
    })
}

/// The database that its handler may run statements in.
fn sql(pipeline: &PipelineConfig, home: Home<'_>, found: &mut Found) -> Option<SqlGrant> {
    let sql = pipeline.grants.sql.as_ref()?;
    let path = format!("pipelines.{}.grants.sql", pipeline.name);
    let database = match home {
        Home::Nowhere => Ok(Some(Arc::new(nowhere::NoDatabase) as Arc<dyn Database>)),
        Home::Worker(_, homes) => homes.part(pipeline).map(|part| part.and_then(|part| part.sql())),
    };
    match database {
        Ok(Some(database)) => Some(SqlGrant { name: sql.name.clone(), database }),
        Ok(None) => {
            let what = format!("names {}, which runs no statements of handlers", sql.database.describe());
            found.problems.push(Problem::new(path, what));
            None
        }
        Err(error) => {
            found.problems.push(Problem::new(path, error.to_string()));
            None
        }
    }
}

/// The database that keeps its state and outbox; none where that is the data directory, or nobody.
fn database(pipeline: &PipelineConfig, home: Home<'_>, found: &mut Found) -> Option<Arc<dyn DatabaseHome>> {
    let wanted = pipeline.ledger.effects()?;
    let Home::Worker(_, homes) = home else { return None };
    let opened = homes.home(wanted);
    let failed = |error: &OpenError| {
        found.problems.push(Problem::new(format!("pipelines.{}.ledger", pipeline.name), error.to_string()));
    };
    opened.inspect_err(failed).ok()
}

fn state(
    pipeline: &PipelineConfig,
    home: Home<'_>,
    database: Option<&dyn DatabaseHome>,
) -> Result<Option<StateGrant>, StoreError> {
    let names = &pipeline.grants.state;
    if names.is_empty() {
        return Ok(None);
    }
    let in_database = database.and_then(|database| Some((database, database.state()?)));
    let kept: Arc<dyn StateHome> = match (&in_database, home) {
        (Some((_, kept)), _) => kept.clone(),
        (None, Home::Worker(store, _)) => store.state_home()?,
        (None, Home::Nowhere) => Arc::new(nowhere::NoState),
    };
    let bucket = |name: &String| {
        let is_shared = name != OWN_STORE;
        let bucket = match (&in_database, home) {
            (Some((database, _)), _) => {
                database.bucket((!is_shared).then_some(&*pipeline.ledger.name), name)
            }
            (None, Home::Worker(store, _)) => store.bucket(&pipeline.name, name, is_shared)?,
            (None, Home::Nowhere) => Bucket(0),
        };
        Ok((name.clone(), bucket))
    };
    let stores = names.iter().map(bucket).collect::<Result<_, StoreError>>()?;
    Ok(Some(StateGrant { home: kept, stores }))
}

fn bounds(granted: &GrantsConfig, state: Option<&StateGrant>) -> Vec<Arc<StoreBound>> {
    let bound = |(name, bucket): &(String, Bucket)| {
        granted.bound_of(name).map(|max| Arc::new(StoreBound::new(name, *bucket, max)))
    };
    state.iter().flat_map(|state| &state.stores).filter_map(bound).collect()
}

fn outbox(
    pipeline: &PipelineConfig,
    home: Home<'_>,
    database: Option<&dyn DatabaseHome>,
    max: usize,
) -> Result<Option<OutboxGrant>, StoreError> {
    let (name, granted) = (&*pipeline.name, &pipeline.grants);
    if granted.outbox.is_empty() {
        return Ok(None);
    }
    if let Some(database) = database {
        let outlet = |(name, to): &(String, TargetConfig)| Outlet {
            name: name.clone(),
            target: database.target(&pipeline.ledger.name, name),
            refuses: refuses(to, max),
        };
        return Ok(Some(OutboxGrant { targets: granted.outbox.iter().map(outlet).collect() }));
    }
    let pipeline = name;
    let known = match home {
        Home::Worker(store, _) => store.targets(pipeline)?,
        Home::Nowhere => Vec::new(),
    };
    let outlet = |(name, to): &(String, TargetConfig)| {
        let target = match (known.iter().find(|known| known.name == *name), home) {
            // It stays where it is until the pipeline begins with it: another may be running.
            (Some(known), _) => known.target,
            (None, Home::Worker(store, _)) => target(store, pipeline, name, to)?,
            (None, Home::Nowhere) => Target(0),
        };
        Ok(Outlet { name: name.clone(), target, refuses: refuses(to, max) })
    };
    let targets = granted.outbox.iter().map(outlet).collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Some(OutboxGrant { targets }))
}

/// A target's place in the outbox, and from now on what is sent to it goes where the configuration says.
pub fn target(store: &Store, pipeline: &str, name: &str, to: &TargetConfig) -> Result<Target, StoreError> {
    store.target(pipeline, name, to.queue().map_or(Where::Relay, Where::Queue))
}

/// Which of the targets that messages wait for the configuration does not have as they were.
pub fn dropped(config: &Config, waiting: Vec<KnownTarget>) -> Vec<Problem> {
    let is_kept = |waiting: &KnownTarget| {
        let pipeline = config.pipelines.iter().find(|pipeline| pipeline.name == waiting.pipeline);
        let targets = pipeline.iter().flat_map(|pipeline| &pipeline.grants.outbox);
        let is_here = pipeline.is_some_and(|pipeline| pipeline.ledger.effects().is_none());
        is_here && targets.into_iter().any(|(name, to)| *name == waiting.name && to.place().is_some())
    };
    let problem = |waiting: KnownTarget| {
        let KnownTarget { pipeline, name, backlog, .. } = waiting;
        let now = config.pipelines.iter().find(|other| other.name == pipeline);
        let missing = match now.map(|now| now.ledger.effects().is_some()) {
            Some(false) => "is not there, or a queue",
            Some(true) => "has its outbox in a database now",
            None => "is not there, nor its pipeline",
        };
        let what = format!(
            "{missing}, and {} to be sent to it: keep it as it was until `pelton status` shows none, or \
             until `pelton outbox purge {pipeline} --target {name}` has removed them for good",
            count(backlog.rows)
        );
        Problem::new(format!("pipelines.{pipeline}.grants.outbox.{name}"), what)
    };
    waiting.into_iter().filter(|waiting| !is_kept(waiting)).map(problem).collect()
}

/// Which state would stay behind in the data directory: its pipeline has a database for that now.
pub fn left_behind(config: &Config, kept: &[KeptState]) -> Vec<Problem> {
    let problem = |kept: &KeptState| {
        let KeptState { pipeline, store, keys } = kept;
        let is_it = |it: &&PipelineConfig| match pipeline {
            Some(name) => it.name == *name,
            None => it.grants.state.contains(store),
        };
        let pipeline = config.pipelines.iter().find(is_it)?;
        let home = pipeline.ledger.effects().filter(|_| pipeline.grants.state.contains(store))?;
        let (name, place) = (&pipeline.name, home.database.describe());
        let which = if store == OWN_STORE { String::new() } else { format!(" --store {store}") };
        let keys = if *keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
        let what = format!(
            "is in {place} now, and {keys} of the store {store} would stay behind in `data_dir`: take \
                them along with \
             `pelton state export {name}{which} --data-dir | pelton state import {name}{which} -`, and \
             remove them \
             here with `pelton state delete {name}{which} --all --data-dir`"
        );
        Some(Problem::new(format!("pipelines.{name}.grants.state"), what))
    };
    kept.iter().filter_map(problem).collect()
}

fn count(messages: u64) -> String {
    if messages == 1 { "1 message waits".to_owned() } else { format!("{messages} messages wait") }
}

/// What a target cannot carry. Goes on behind "the target `NAME`".
fn refuses(to: &TargetConfig, max: usize) -> Refuses {
    match to.clone() {
        TargetConfig::At(place) => Arc::new(move |message| place.cannot_send(message)),
        TargetConfig::Queue(queue) => {
            Arc::new(move |message| not_a_handlers(message).or_else(|| queue_refuses(&queue, message, max)))
        }
    }
}

fn queue_refuses(queue: &str, message: &StagedMessage, max: usize) -> Option<String> {
    if message.body.len() > max {
        return Some(format!("does not take it: {}", too_large(message.body.len(), max)));
    }
    let topic = message.topic.as_ref()?;
    (topic != queue).then(|| format!("is the embedded queue `{queue}` alone; leave the topic out"))
}

/// What is read for one pipeline.
struct Reading<'f> {
    /// The section.
    path: String,
    found: &'f mut Found,
    secrets: Vec<String>,
}

impl Reading<'_> {
    fn problem(&mut self, key: &str, what: impl Into<String>) {
        self.found.problems.push(Problem::new(format!("{}.{key}", self.path), what));
    }

    fn warning(&mut self, key: &str, what: impl Into<String>) {
        self.found.warnings.push(Problem::new(format!("{}.{key}", self.path), what));
    }

    /// A value, whose parts from elsewhere are secrets.
    fn value(&mut self, key: &str, given: &Given) -> Option<String> {
        match given.value(&|name| std::env::var(name).ok()) {
            Ok(value) => {
                if let Some(what) = value.warning {
                    self.warning(key, what);
                }
                if value.secrets.iter().any(|secret| !secret.is_empty() && secret.len() < SECRET_BYTES) {
                    let what = format!(
                        "is a secret of less than {SECRET_BYTES} bytes: where the handler writes it to its \
                         log, it is not found and hidden"
                    );
                    self.warning(key, what);
                }
                self.secrets.extend(value.secrets);
                Some(value.text)
            }
            Err(why) => {
                self.problem(key, why);
                None
            }
        }
    }

    fn variable(&mut self, name: &str) -> Option<(String, String)> {
        let value = std::env::var(name).ok();
        if value.is_none() {
            let what = format!("names `{name}`, which is not set, or no text; set it, or leave it out");
            self.problem("environment", what);
        }
        Some((name.to_owned(), value?))
    }

    fn http(&mut self, place: &HttpConfig) -> HttpGrant {
        let mut headers = Vec::new();
        for (name, given) in &place.headers {
            let key = format!("{}.headers.{name}", place.key);
            let Some(value) = self.value(&key, given) else { continue };
            if value.bytes().any(|b| b == 0x7f || (b < b' ' && b != b'\t')) {
                self.problem(&key, "has a line break or another control character in it; a header cannot");
            }
            // The whole of it is nobody's to see, wherever it stands.
            self.secrets.push(value.clone());
            headers.push((name.clone(), value));
        }
        HttpGrant {
            to: place.to.clone(),
            methods: place.methods.clone(),
            headers,
            idempotency: place.idempotency.clone(),
            private: place.private.clone(),
            shadow: place.shadow,
        }
    }

    fn limits(&mut self, granted: &GrantsConfig) -> HttpLimits {
        let given = &granted.http_limits;
        let ca = given.ca_file.as_deref().and_then(|path| {
            certificates(path).map_err(|why| self.problem("http_limits.ca_file", why)).ok()
        });
        let proxy = given.proxy.as_ref().and_then(|proxy| self.value("http_limits.proxy", proxy));
        if proxy.as_ref().is_some_and(|proxy| !proxy.starts_with("http://")) {
            self.problem(
                "http_limits.proxy",
                "must begin with http://, as in \"http://proxy.example:3128\"",
            );
            return given.limits.clone();
        }
        let limits = HttpLimits { ca, proxy, ..given.limits.clone() };
        if let Err((key, why)) = limits.check() {
            self.problem(&format!("http_limits.{key}"), why);
        }
        limits
    }

    /// Those that are looked for, the longest first: one may be a part of another.
    fn secrets(&mut self) -> Vec<String> {
        let mut all = std::mem::take(&mut self.secrets);
        all.retain(|secret| secret.len() >= SECRET_BYTES);
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        all
    }
}
