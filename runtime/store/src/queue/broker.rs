//! The embedded queue, as it is configured.

use pelton_core::broker::{
    Books, Broker, Contradiction, Diagnosis, FindMessage, FoundContent, FoundMessage, Look, Messaging,
    OpenError, Outgoing, PipelineView, Publisher, Replay, Settings, SharedBooks, SourceStatus, Uncarried,
    WantedMessage, WorkerName,
};
use pelton_core::pipeline::Named;
use pelton_core::ports::{Scope, Source};
use std::sync::Arc;

/// An embedded queue as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// The queue that is read.
    pub queue: String,
}

/// Takes the table of a source apart; a queue of the pipeline's own name when it says nothing.
#[must_use]
pub fn configure(settings: &dyn Settings, pipeline: &str) -> EmbeddedConfig {
    let queue = settings.text("queue");
    if let Some(name) = queue.as_ref().filter(|name| !is_name(name)) {
        settings.problem("queue", format!("is `{name}`, must be {NAME}"));
    }
    EmbeddedConfig { queue: queue.unwrap_or_else(|| pipeline.to_owned()) }
}

/// Takes the table of dead letters apart, of a pipeline that reads `source`: the queue that they go to,
/// none for the table of the data directory.
#[must_use]
pub fn configure_letters(settings: &dyn Settings, source: &dyn Broker) -> Option<String> {
    let target = settings.text("queue")?;
    if source.of().is_some_and(|read: &EmbeddedConfig| read.queue == target) {
        let what = "is the queue that the pipeline reads: its dead letters would come back for ever; name \
            another, or leave it out";
        settings.problem("queue", what.to_owned());
    } else if !is_name(&target) {
        settings.problem("queue", format!("must be {NAME}"));
    }
    Some(target)
}

/// What a name is, for the reader of an error.
const NAME: &str = "1 to 64 of a-z, A-Z, 0-9, `-` and `_`";

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

impl Broker for EmbeddedConfig {
    fn describe(&self) -> String {
        format!("queue {}", self.queue)
    }

    fn messaging(&self) -> Messaging {
        Messaging { system: "pelton", destination: self.queue.clone(), group: None, settles: "ack" }
    }

    fn identity(&self) -> Option<String> {
        None
    }

    fn is_same(&self, other: &dyn Broker) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn contradictions(&self, _: &PipelineView) -> Vec<Contradiction> {
        Vec::new()
    }

    /// Leases are in memory, one pipeline's own.
    fn conflict(&self, other: &dyn Broker, reader: &str) -> Option<Contradiction> {
        let what = format!(
            "is `{}`, which the pipeline `{reader}` reads already; give each a queue of its own",
            self.queue
        );
        self.is_same(other).then(|| Contradiction { key: "source.queue".to_owned(), what })
    }

    fn open(&self, _: &PipelineView, books: Arc<dyn Books>) -> Result<Arc<dyn Source>, OpenError> {
        Ok(books.queue(&self.queue)?)
    }

    fn probe(&self, _: &PipelineView, _: &dyn WorkerName) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self, _: &PipelineView) -> Diagnosis {
        Diagnosis::default()
    }

    fn is_diagnosed_at_start(&self) -> bool {
        false
    }

    fn replay(&self) -> Result<&dyn Replay, String> {
        Err("an embedded queue".to_owned())
    }

    /// The store itself knows.
    fn status(&self) -> Option<Result<SourceStatus, Vec<String>>> {
        None
    }

    fn cannot_carry(&self, pipeline: &PipelineView, message: &Outgoing<'_>) -> Option<Uncarried> {
        let waits_too_long = message.delay_ms.is_some_and(|delay| delay > pipeline.retry.max_delay_ms);
        waits_too_long.then_some(Uncarried::Delay)
    }

    fn publisher(&self, books: &dyn SharedBooks) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(books.queue_publisher(&self.queue)?)
    }

    fn destination(&self, message: &Outgoing<'_>) -> String {
        format!("queue {}", message.destination.as_deref().unwrap_or(&self.queue))
    }

    fn origin<'a>(&'a self, _: &'a str) -> &'a str {
        &self.queue
    }
}

impl FindMessage for EmbeddedConfig {
    fn named(&self, wanted: &WantedMessage) -> Result<Named, String> {
        Ok(Named { id: Some(wanted.text.clone()), ..Named::default() })
    }

    fn ledger_key(&self, text: &str) -> String {
        text.to_owned()
    }

    fn scopes(&self, _: &str) -> Result<Vec<Scope>, String> {
        Ok(Vec::new())
    }

    /// The letter and the removal are one transaction.
    fn look(&self, wanted: &WantedMessage) -> Result<Look, String> {
        let (queue, text) = (&self.queue, &wanted.text);
        if !wanted.runs {
            // It removes from the queue that the pipeline reads.
            wanted.books.queue(queue).map_err(|error| error.to_string())?;
        }
        let found = wanted.books.queued(queue, text).map_err(|error| error.to_string())?;
        let delivery = found.ok_or_else(|| {
            format!("the queue {queue} has no message {text}; ids are as `pelton send` says them")
        })?;
        let content = FoundContent::Read { delivery: Box::new(delivery), shares_ledger: true };
        Ok(Look::Here(FoundMessage { content, after: Box::new(|| Ok(None)) }))
    }
}
