//! An SQS source and the queue of its dead letters, as they are configured.

use crate::letter_reader::SqsLetterReader;
use crate::redriven::Redriven;
use crate::{
    Connection, SqsLetters, SqsOptions, SqsPublisher, SqsSource, admin, diagnose, publish, queue_name,
};
use pelton_core::broker::{
    Books, Broker, Contradiction, DeadLetterPlace, Diagnosis, LetterReader, Listener, Messaging, OpenError,
    Outgoing, PipelineView, Publisher, Replay, Settings, SharedBooks, SourceStatus, Uncarried, WorkerName,
};
use pelton_core::ports::{DeadLetters, Source};
use std::sync::Arc;
use std::time::Duration;

/// An SQS source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsConfig {
    /// What is read.
    pub queue: QueueConfig,
    /// How long one receive waits for messages.
    pub wait: Duration,
    /// How long a message is ours, unless that is extended.
    pub visibility: Duration,
}

/// A queue of SQS, and how it is reached where the SDK's usual chain does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its address, as the console shows it.
    pub url: String,
    /// Where the service is, if not where the address says.
    pub endpoint_url: Option<String>,
    /// Its region, if the address does not say.
    pub region: Option<String>,
}

/// Where dead letters go that SQS keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterQueue {
    /// A queue, whatever the pipeline reads.
    Queue(QueueConfig),
    /// Wherever the policy of the queue that is read puts what was received too often.
    Redrive,
}

impl QueueConfig {
    /// The way to it.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::usual(&self.url, self.endpoint_url.as_deref(), self.region.as_deref())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        queue_name(&self.url)
    }
}

/// The service's own bounds.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const LONGEST_HOLD: Duration = Duration::from_secs(12 * 3_600);
/// Bytes of a queue's name.
const MAX_NAME: usize = 80;
const DEFAULT_VISIBILITY: Duration = Duration::from_secs(60);

/// Takes the table of a source apart.
pub fn configure(settings: &dyn Settings) -> SqsConfig {
    let queue = required_queue(settings);
    let wait = settings.duration("wait_time", LONGEST_WAIT);
    if wait > LONGEST_WAIT {
        settings
            .problem("wait_time", "must be from 0s to 20s, which is the longest that SQS waits".to_owned());
    }
    let visibility = settings.duration("visibility_timeout", DEFAULT_VISIBILITY);
    if visibility < Duration::from_secs(1) || visibility > LONGEST_HOLD {
        settings.problem("visibility_timeout", "must be from 1s to 12h".to_owned());
    }
    SqsConfig { queue, wait, visibility }
}

/// A queue, by the keys that say where it is, which has to be named.
pub(crate) fn required_queue(settings: &dyn Settings) -> QueueConfig {
    if !settings.has("queue_url") {
        let example = "\"https://sqs.eu-central-1.amazonaws.com/123456789012/orders\"";
        settings.problem("queue_url", format!("is missing; write queue_url = {example}"));
    }
    queue(settings)
}

/// A queue, by the keys that say where it is. None of them must be there.
fn queue(settings: &dyn Settings) -> QueueConfig {
    let url = settings.text("queue_url").unwrap_or_default();
    if settings.has("queue_url") && !is_queue_url(&url) {
        settings.problem("queue_url", NO_QUEUE_URL.to_owned());
    }
    let endpoint_url = settings.text("endpoint_url");
    if endpoint_url.as_deref().is_some_and(|url| !is_http(url)) {
        settings.problem(
            "endpoint_url",
            "must begin with http:// or https://; leave it out for the service itself".to_owned(),
        );
    }
    let region = settings.text("region");
    if region.as_deref() == Some("") {
        settings
            .problem("region", "is empty; write one such as \"eu-central-1\", or leave it out".to_owned());
    }
    QueueConfig { url, endpoint_url, region }
}

/// What to say of a text that is no address of a queue.
const NO_QUEUE_URL: &str = "is no address of a queue: it begins with http:// or https:// and ends with the \
    account and the queue's name, as the console shows it";

/// Whether a text may be the address of a queue.
fn is_queue_url(url: &str) -> bool {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    is_http(url) && path.is_some_and(|(host, path)| is_host(host) && is_queue_name(queue_name(path)))
}

/// Host and port, without a login.
fn is_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').filter(|_| !text.ends_with(']')).unwrap_or((text, "80"));
    !host.is_empty()
        && port.parse::<u16>().is_ok()
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'@')
}

/// What the service lets a name be.
fn is_queue_name(name: &str) -> bool {
    let base = name.strip_suffix(".fifo").unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !base.is_empty() && name.len() <= MAX_NAME && base.bytes().all(allowed)
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

impl Broker for SqsConfig {
    fn describe(&self) -> String {
        format!("sqs {}", self.queue.name())
    }

    fn messaging(&self) -> Messaging {
        Messaging {
            system: "aws_sqs",
            destination: self.queue.name().to_owned(),
            group: None,
            settles: "ack",
        }
    }

    fn identity(&self) -> Option<String> {
        Some(format!("sqs {}", self.queue.url))
    }

    fn is_same(&self, other: &dyn Broker) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn contradictions(&self, pipeline: &PipelineView) -> Vec<Contradiction> {
        let timeout = pipeline.timeout;
        if timeout <= LONGEST_HOLD {
            return Vec::new();
        }
        let what = format!(
            "is {timeout:?}, and SQS lets nobody hold a message for more than 12h; make it shorter"
        );
        vec![Contradiction { key: "handler.timeout".to_owned(), what }]
    }

    fn conflict(&self, other: &dyn Broker, reader: &str) -> Option<Contradiction> {
        let other: &Self = other.of()?;
        if self.queue.url != other.queue.url || self.queue.url.is_empty() {
            return None;
        }
        let what = format!(
            "is the queue that the pipeline `{reader}` reads already, and each would get a part of it; \
             give each a queue of its own"
        );
        Some(Contradiction { key: "source.queue_url".to_owned(), what })
    }

    fn open(&self, pipeline: &PipelineView, _: Arc<dyn Books>) -> Result<Arc<dyn Source>, OpenError> {
        Ok(Arc::new(SqsSource::open(self.options(pipeline), self.queue.connection())))
    }

    /// Whatever may be wrong is known only when the service is asked.
    fn probe(&self, _: &PipelineView, _: &dyn WorkerName) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self, pipeline: &PipelineView) -> Diagnosis {
        diagnose::of_source(pipeline, self)
    }

    /// What contradicts the queue is seen only when messages are lost or run twice.
    fn is_diagnosed_at_start(&self) -> bool {
        true
    }

    fn replay(&self) -> Result<&dyn Replay, String> {
        Err(self.describe())
    }

    fn rights(&self) -> Diagnosis {
        diagnose::of_settling(&self.queue)
    }

    fn status(&self) -> Option<Result<SourceStatus, Vec<String>>> {
        Some(admin::status(self))
    }

    fn cannot_carry(&self, _: &PipelineView, message: &Outgoing<'_>) -> Option<Uncarried> {
        publish::cannot_carry(self, message)
    }

    fn publisher(&self, _: &dyn SharedBooks) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(SqsPublisher::open(&self.queue).map_err(OpenError::Refused)?))
    }

    fn destination(&self, message: &Outgoing<'_>) -> String {
        publish::destination(self, message)
    }

    fn names_replays(&self) -> bool {
        true
    }

    /// All go back into the queue that is read, whatever it was called.
    fn origin<'a>(&'a self, said: &'a str) -> &'a str {
        if said.is_empty() { self.queue.name() } else { said }
    }
}

impl SqsConfig {
    /// As its pipeline reads it.
    #[must_use]
    pub fn options(&self, pipeline: &PipelineView) -> SqsOptions {
        SqsOptions {
            pipeline: pipeline.name.clone(),
            queue_url: self.queue.url.clone(),
            wait: self.wait,
            visibility: self.visibility,
            at_least: pipeline.concurrency.min(pipeline.max_in_flight),
            at_most: pipeline.max_in_flight,
        }
    }
}

impl DeadLetterPlace for LetterQueue {
    fn is_same(&self, other: &dyn DeadLetterPlace) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn open(
        &self,
        _: &dyn Broker,
        pipeline: &PipelineView,
        books: &dyn Books,
    ) -> Result<Arc<dyn DeadLetters>, OpenError> {
        Ok(match self {
            Self::Queue(queue) => {
                let (noted, kept) = (books.noted(), books.kept());
                Arc::new(SqsLetters::new(&pipeline.name, &queue.url, queue.connection(), noted, kept))
            }
            Self::Redrive => Arc::new(Redriven::new(&pipeline.name, books.noted())),
        })
    }

    /// Whatever may be wrong is known only when the service is asked.
    fn probe(&self, _: &dyn Broker) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self, source: &dyn Broker, _: &PipelineView) -> Diagnosis {
        diagnose::of_letters(self, source)
    }

    fn reader<'a>(
        &'a self,
        source: &'a dyn Broker,
        pipeline: &'a str,
        _: Arc<dyn SharedBooks>,
        listener: &'a dyn Listener,
    ) -> Result<Box<dyn LetterReader + 'a>, OpenError> {
        let admin = self.queue(source).and_then(|queue| queue.open()).map_err(OpenError::Refused)?;
        Ok(Box::new(SqsLetterReader::new(admin, source, pipeline, listener)))
    }

    fn count(&self, source: &dyn Broker, _: &dyn SharedBooks, _: &dyn Listener) -> Result<u64, OpenError> {
        let facts = self.queue(source).and_then(|queue| queue.facts());
        facts.map(|facts| facts.unsettled()).map_err(OpenError::Refused)
    }

    /// As of the queue that is read.
    fn is_diagnosed_at_start(&self) -> bool {
        true
    }

    fn is_of_source(&self) -> bool {
        *self == Self::Redrive
    }

    fn rights(&self, _: &dyn Broker) -> Diagnosis {
        diagnose::of_sending(self)
    }
}

impl LetterQueue {
    /// The queue itself. Where letters are left to a redrive policy, the service is asked which that is.
    fn queue(&self, source: &dyn Broker) -> Result<QueueConfig, String> {
        match self {
            Self::Queue(queue) => Ok(queue.clone()),
            Self::Redrive => {
                let sqs: Option<&SqsConfig> = source.of();
                sqs.ok_or_else(|| "only a queue of SQS has a redrive policy".to_owned())?.redriven()
            }
        }
    }
}

/// Takes the table of dead letters apart, of a pipeline that reads `source`; none when it names nothing of
/// SQS.
pub fn configure_letters(settings: &dyn Settings, source: &dyn Broker) -> Option<LetterQueue> {
    if settings.flag("redrive", false) {
        redrive(settings, source);
        return Some(LetterQueue::Redrive);
    }
    settings.has("queue_url").then(|| LetterQueue::Queue(letter_queue(settings, source)))
}

/// The queue's own policy moves what is given up on; so nothing else may be named.
fn redrive(settings: &dyn Settings, source: &dyn Broker) {
    if source.of::<SqsConfig>().is_none() {
        let what = "is true, and only a queue of SQS has a redrive policy; leave it out, or name a `queue`";
        settings.problem("redrive", what.to_owned());
    }
    for key in ["queue_url", "queue", "topic"] {
        if settings.has(key) {
            settings.problem(
                key,
                "is given beside `redrive`, which leaves dead letters to the policy of \
                the queue that is read; leave one of them out"
                    .to_owned(),
            );
        }
    }
}

fn letter_queue(settings: &dyn Settings, source: &dyn Broker) -> QueueConfig {
    let mut target = queue(settings);
    if let Some(sqs) = source.of::<SqsConfig>() {
        if target.url == sqs.queue.url {
            settings.problem(
                "queue_url",
                "is the queue that the pipeline reads: its dead letters would \
                come back for ever; name another, or leave it out"
                    .to_owned(),
            );
        }
        // Of the same service, unless something else is said.
        if target.endpoint_url.is_none() && target.region.is_none() {
            (target.endpoint_url, target.region) =
                (sqs.queue.endpoint_url.clone(), sqs.queue.region.clone());
        }
    }
    for key in ["queue", "topic"] {
        if settings.has(key) {
            settings.problem(key, "is given beside `queue_url`; leave one of them out".to_owned());
        }
    }
    target
}

#[cfg(test)]
mod tests;
