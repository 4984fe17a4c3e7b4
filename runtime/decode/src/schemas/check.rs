//! What looks at the messages of a pipeline, a batch at a time.

use super::config::{Pass, SchemaConfig, SchemaKind, Wire};
use super::out::Out;
use super::registry::{Found, Registry};
use super::{CompiledSchema, Part, ReadFile, file, wire};
use crate::schema::{Schema, Verdict};
use pelton_core::Message;
use pelton_core::contain::contain;
use pelton_core::ports::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;

/// JSON may have this many times the bytes that a body may.
const LARGER: usize = 8;

/// The schemas of a pipeline.
pub struct Schemas(Arc<Checker>);

struct Checker {
    source: Source,
    wire: Wire,
    to_json: bool,
    /// Bytes of JSON, and of what is unpacked.
    most: usize,
    file_name: String,
}

enum Source {
    File(Box<dyn CompiledSchema>),
    Registry(Box<Registry>),
}

/// What is known of a message: a verdict, or when to ask again.
type Known = Result<Verdict, Duration>;

impl Schemas {
    /// Reads and compiles what is configured. Nothing is asked of a registry yet. The error goes on where
    /// the name of `schema.file` stops. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or is no schema of the kind.
    pub fn open(config: &SchemaConfig, agent: Agent, read: &ReadFile<'_>) -> Result<Self, String> {
        let source = match &config.registry {
            Some(registry) => {
                let reader = config.file.as_deref().map(|file| file::reader(file, read)).transpose()?;
                Source::Registry(Box::new(Registry::new(registry.clone(), config.kind, agent, reader)))
            }
            None => {
                let file = config.file.as_deref().ok_or("is missing, and there is no `registry`")?;
                Source::File(file::schema(config, file, read)?)
            }
        };
        // JSON with nothing before it is its own JSON.
        let is_json = config.kind == SchemaKind::Json && config.wire == Wire::None;
        Ok(Self(Arc::new(Checker {
            source,
            wire: config.wire,
            to_json: config.pass == Pass::Json && !is_json,
            most: config.max_message_bytes.saturating_mul(LARGER),
            file_name: config.file_name().to_owned(),
        })))
    }
}

impl Schemas {
    /// Asks the registry, where there is one, whether it answers and has a schema of the subject that can be
    /// used. Blocks.
    ///
    /// # Errors
    /// The key of the setting that is wrong, and what is wrong: goes on where the key stops.
    pub fn diagnose(&self) -> Result<(), (&'static str, String)> {
        match &self.0.source {
            Source::File(_) => Ok(()),
            Source::Registry(registry) => registry.diagnose(),
        }
    }
}

impl Schema for Schemas {
    fn check(&self, messages: Vec<Message>) -> BoxFuture<'_, Vec<Verdict>> {
        Box::pin(async move {
            let mut all: Vec<(Message, Option<Verdict>)> =
                messages.into_iter().map(|one| (one, None)).collect();
            loop {
                let checker = self.0.clone();
                let looked = tokio::task::spawn_blocking(move || checker.look(all)).await;
                let wait;
                (all, wait) = match looked {
                    Ok(looked) => looked,
                    // Each message is contained: what ended was the runtime, and with it the worker.
                    Err(_) => return std::future::pending().await,
                };
                let Some(wait) = wait else { break };
                tokio::time::sleep(wait).await;
            }
            all.into_iter().filter_map(|(_, verdict)| verdict).collect()
        })
    }

    fn trouble(&self) -> Option<String> {
        match &self.0.source {
            Source::File(_) => None,
            Source::Registry(registry) => registry.trouble(),
        }
    }
}

impl Checker {
    /// Looks at what has no verdict yet. When to look again, if something is left.
    fn look(
        &self,
        mut all: Vec<(Message, Option<Verdict>)>,
    ) -> (Vec<(Message, Option<Verdict>)>, Option<Duration>) {
        let mut again: Option<Duration> = None;
        for (message, verdict) in all.iter_mut().filter(|(_, verdict)| verdict.is_none()) {
            let known = contain(|| self.one(message));
            match known {
                Ok(Ok(known)) => *verdict = Some(known),
                Ok(Err(wait)) => again = Some(again.map_or(wait, |other| other.min(wait))),
                Err(panicked) => {
                    *verdict = Some(Verdict::Invalid(format!("what reads it has failed: {panicked}")))
                }
            }
        }
        (all, again)
    }

    fn one(&self, message: &Message) -> Known {
        // Kafka's tombstones have no value that a schema could be of.
        if message.tombstone() {
            return Ok(Verdict::Valid);
        }
        let framed = match wire::open(self.wire, message.headers(), message.body(), self.most) {
            Ok(framed) => framed,
            Err(why) => return Ok(Verdict::Invalid(format!("its schema cannot be told: {why}"))),
        };
        let part = Part { of_header: framed.of_header, payload: &framed.payload };
        Ok(match (&self.source, framed.schema) {
            (Source::File(schema), _) => self.within(&**schema, part, &self.file_name),
            (Source::Registry(registry), Some(named)) => match registry.find(named) {
                Found::Schema(schema) => self.within(&*schema, part, &named.to_string()),
                Found::Unusable(why) => Verdict::Invalid(format!("its schema {named} {why}")),
                Found::Away(again) => return Err(again),
            },
            (Source::Registry(_), None) => Verdict::Invalid("it does not name its schema".to_owned()),
        })
    }

    fn within(&self, schema: &dyn CompiledSchema, part: Part<'_>, name: &str) -> Verdict {
        let mut out = Out::new(self.most, self.to_json);
        match schema.check(part, &mut out) {
            Ok(()) if self.to_json => Verdict::Body(out.into_bytes()),
            Ok(()) => Verdict::Valid,
            Err(fault) => Verdict::Invalid(format!("by the schema {name}, {}", fault.describe())),
        }
    }
}
