//! From what pipelines grant, as it is configured, to what their handlers have: files and variables are read,
//! names become places. What is read here may be a secret, and is shown nowhere.

pub mod advice;
mod nowhere;
mod stand_in;

pub use stand_in::{stand_ins, targets};

use crate::config::certificates;
use crate::config::{
    Config, Given, GrantsConfig, HttpConfig, OWN_STORE, PipelineConfig, Problem, SECRET_BYTES,
};
use crate::registry::TargetConfig;
use pelton_core::broker::{not_a_handlers, too_large};
use pelton_core::effects::{Bucket, StagedMessage, StateHome, Target};
use pelton_host::{Grants, HttpGrant, HttpLimits, OutboxGrant, Outlet, Refuses, StateGrant};
use pelton_store::{KnownTarget, Store, StoreError, Where};
use std::sync::Arc;

/// Who keeps state and outbox.
#[derive(Clone, Copy)]
pub enum Home<'s> {
    /// The data directory, which this process owns.
    Store(&'s Store),
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
    for pipeline in &mut config.pipelines {
        let grants = granted(pipeline, home, max, &mut found)?;
        pipeline.handler.spec.grants = Arc::new(grants);
    }
    Ok(found)
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
    Ok(Grants {
        http,
        http_limits,
        config,
        environment,
        secrets,
        state: state(name, granted, home)?,
        outbox: outbox(name, granted, home, max)?,
        ..Grants::default()
    })
}

fn state(pipeline: &str, granted: &GrantsConfig, home: Home<'_>) -> Result<Option<StateGrant>, StoreError> {
    if granted.state.is_empty() {
        return Ok(None);
    }
    let kept: Arc<dyn StateHome> = match home {
        Home::Store(store) => store.state_home()?,
        Home::Nowhere => Arc::new(nowhere::NoState),
    };
    let bucket = |name: &String| {
        let bucket = match home {
            Home::Store(store) => store.bucket(pipeline, name, name != OWN_STORE)?,
            Home::Nowhere => Bucket(0),
        };
        Ok((name.clone(), bucket))
    };
    let stores = granted.state.iter().map(bucket).collect::<Result<_, StoreError>>()?;
    Ok(Some(StateGrant { home: kept, stores }))
}

fn outbox(
    pipeline: &str,
    granted: &GrantsConfig,
    home: Home<'_>,
    max: usize,
) -> Result<Option<OutboxGrant>, StoreError> {
    if granted.outbox.is_empty() {
        return Ok(None);
    }
    let known = match home {
        Home::Store(store) => store.targets(pipeline)?,
        Home::Nowhere => Vec::new(),
    };
    let outlet = |(name, to): &(String, TargetConfig)| {
        let target = match (known.iter().find(|known| known.name == *name), home) {
            // It stays where it is until the pipeline begins with it: another may be running.
            (Some(known), _) => known.target,
            (None, Home::Store(store)) => target(store, pipeline, name, to)?,
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
        let targets = pipeline.into_iter().flat_map(|pipeline| &pipeline.grants.outbox);
        targets.into_iter().any(|(name, to)| *name == waiting.name && to.place().is_some())
    };
    let problem = |waiting: KnownTarget| {
        let KnownTarget { pipeline, name, backlog, .. } = waiting;
        let is_there = config.pipelines.iter().any(|other| other.name == pipeline);
        let missing = if is_there { "is not there, or a queue" } else { "is not there, nor its pipeline" };
        let what = format!(
            "{missing}, and {} to be sent to it: keep it as it was until `pelton status` shows none, or \
             until `pelton outbox purge {pipeline} --target {name}` has removed them for good",
            count(backlog.rows)
        );
        Problem::new(format!("pipelines.{pipeline}.grants.outbox.{name}"), what)
    };
    waiting.into_iter().filter(|waiting| !is_kept(waiting)).map(problem).collect()
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
