//! The schemas of a registry: asked for once, and kept.
//!
//! A registry is asked for what nobody has asked for yet, one question at a time. An answer that there is
//! no such schema counts for 30 seconds. No answer is none: whoever wants a schema then is told when to
//! come again, and the registry is left alone until then.

mod cache;
mod client;

use super::avro;
use super::config::{RegistryConfig, SchemaKind};
use super::wire::SchemaRef;
use super::{CompiledSchema, Document, Framing, compiled};
use cache::{Cache, Kept};
pub(super) use client::MAX_REFERENCES;
use client::{Client, Fetched};
use pelton_core::shown::shown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ureq::Agent;

/// How long a registry that is away is left alone: the first time, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A registry, with what it has said.
pub(super) struct Registry {
    client: Client,
    kind: SchemaKind,
    /// What bodies of Avro are read as.
    reader: Option<avro::Types>,
    cache: Mutex<Cache>,
    away: Mutex<Option<Away>>,
    /// Held while the registry is asked.
    asking: Mutex<()>,
}

struct Away {
    why: String,
    since: Instant,
    again_at: Instant,
    wait: Duration,
}

/// What became of the search for a schema.
pub(super) enum Found {
    Schema(Arc<dyn CompiledSchema>),
    /// There is none that could be used. Goes on where the schema's name stops.
    Unusable(Arc<str>),
    /// The registry does not say; to be asked again after that time.
    Away(Duration),
}

impl Registry {
    pub(super) fn new(
        config: RegistryConfig,
        kind: SchemaKind,
        agent: Agent,
        reader: Option<avro::Types>,
    ) -> Self {
        Self {
            client: Client::new(config, kind, agent),
            kind,
            reader,
            cache: Mutex::default(),
            away: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// A schema. Blocks while the registry is asked.
    pub(super) fn find(&self, named: SchemaRef) -> Found {
        if let Some(found) = self.known(named) {
            return found;
        }
        let asking = locked(&self.asking);
        // Somebody else may have asked meanwhile.
        if let Some(found) = self.known(named) {
            return found;
        }
        let now = Instant::now();
        if let Some(wait) =
            locked(&self.away).as_ref().and_then(|away| away.again_at.checked_duration_since(now))
        {
            return Found::Away(wait);
        }
        let fetched = self.client.fetch(named);
        drop(asking);
        match fetched {
            Err(why) => Found::Away(self.went(why)),
            Ok(fetched) => {
                self.came_back();
                let (kept, bytes) = self.kept(fetched);
                let found = kept.found();
                locked(&self.cache).keep(named, kept, bytes, Instant::now());
                found
            }
        }
    }

    fn known(&self, named: SchemaRef) -> Option<Found> {
        locked(&self.cache).get(named, Instant::now())
    }

    /// What is kept of an answer, and its bytes.
    fn kept(&self, fetched: Fetched) -> (Kept, usize) {
        match fetched {
            Fetched::Unusable(why) => (Kept::Unusable(why.into()), 0),
            Fetched::Document(document) => {
                let bytes = document.references.iter().map(|one| one.text.len()).sum::<usize>()
                    + document.text.len();
                match self.compile(&document) {
                    Ok(schema) => (Kept::Schema(schema), bytes),
                    Err(why) => (Kept::Unusable(format!("cannot be used: {why}").into()), 0),
                }
            }
        }
    }

    fn compile(&self, document: &Document) -> Result<Arc<dyn CompiledSchema>, String> {
        let schema = compiled(self.kind, document, Framing::Indexed, self.reader.as_ref())?;
        Ok(schema.into())
    }

    /// Notes that it does not answer. The time until it is asked again.
    fn went(&self, why: String) -> Duration {
        let mut away = locked(&self.away);
        let now = Instant::now();
        let wait = away.as_ref().map_or(FIRST_WAIT, |away| (away.wait * 2).min(LONGEST_WAIT));
        if away.is_none() {
            let registry = self.client.name();
            tracing::warn!(
                "the schema registry {registry} {why}; messages whose schema it has not said yet wait"
            );
        }
        let since = away.as_ref().map_or(now, |away| away.since);
        *away = Some(Away { why, since, again_at: now + wait, wait });
        wait
    }

    fn came_back(&self) {
        if let Some(away) = locked(&self.away).take() {
            let seconds = away.since.elapsed().as_secs();
            tracing::info!("the schema registry {} answers again after {seconds} s", self.client.name());
        }
    }

    /// What stands against reading by it, asked of it now: by which key, and how that goes on. Blocks.
    pub(super) fn diagnose(&self) -> Result<(), (&'static str, String)> {
        let url = self.client.name();
        let newest = self.client.newest().map_err(|why| {
            let then = "messages would wait: see that it runs, and that this machine may ask it";
            ("registry", format!("is {url}, which {why}; {then}"))
        })?;
        let (Some(fetched), Some(subject)) = (newest, self.client.subject()) else { return Ok(()) };
        let found = match fetched {
            Fetched::Unusable(why) => Err(why),
            Fetched::Document(document) => {
                self.compile(&document).map(drop).map_err(|why| format!("cannot be used: {why}"))
            }
        };
        found.map_err(|why| {
            let subject = shown(subject);
            let then = "register one there, or mend `subject` or `type`";
            ("subject", format!("is `{subject}`, whose newest schema {why}; {then}"))
        })
    }

    /// Why messages wait.
    pub(super) fn trouble(&self) -> Option<String> {
        let away = locked(&self.away);
        away.as_ref().map(|away| {
            let seconds = away.since.elapsed().as_secs();
            let (registry, why) = (self.client.name(), &away.why);
            format!("the schema registry {registry} {why} (for {seconds} s); messages wait for it")
        })
    }
}

/// What is kept here is whole at any time.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
