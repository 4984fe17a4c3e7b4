//! Dead letters in topics: sent and acknowledged by all replicas before the ledger is told.

use super::producer::{KafkaProducer, Outgoing};
use super::style::{HeaderStyle, place};
use super::topics::{LetterTopic, Topics};
use crate::seldom::Seldom;
use pelton_core::Letter;
use pelton_core::ports::{Class, DeadLetters, Later};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// How long the broker may take to say what topics it has.
const ASK: Duration = Duration::from_secs(10);
/// Between two looks for topics that are missing.
const AGAIN: Duration = Duration::from_secs(10);

/// Where the letters of a pipeline go.
#[derive(Debug, Clone)]
pub struct LetterOptions {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// `host:port`, several with commas between.
    pub bootstrap_servers: String,
    /// Raw settings of the client library.
    pub librdkafka: Vec<(String, String)>,
    /// The consumer group, for the headers of styles that name it.
    pub group_id: String,
    /// A topic for each that is read.
    pub topics: Vec<LetterTopic>,
    /// The names of the headers.
    pub style: HeaderStyle,
    /// Whether topics that are missing are made.
    pub create: bool,
}

/// The port. Its thread ends when it is dropped.
pub struct KafkaLetters {
    jobs: Sender<Job>,
    noted: Arc<dyn DeadLetters>,
}

struct Job {
    letters: Vec<Letter>,
    answer: oneshot::Sender<Vec<Result<(), Class>>>,
}

impl KafkaLetters {
    /// Starts the thread that sends, and looks for the topics first. `noted` is told of letters that
    /// are durable. Returns at once: an unreachable broker is logged and tried again for ever.
    ///
    /// # Errors
    /// In words: the client library refuses the options, or the thread cannot be started.
    pub fn open(options: LetterOptions, noted: Arc<dyn DeadLetters>) -> Result<Self, String> {
        let producer = KafkaProducer::open(&options.bootstrap_servers, &options.librdkafka)?;
        let topics = Topics::open(&options.bootstrap_servers, &options.librdkafka, ASK)?;
        let (jobs, asked) = channel();
        let (partitions, unsent) = Default::default();
        let mut postman = Postman { options, producer, topics, partitions, unsent };
        let name = format!("letters-{}", postman.options.pipeline);
        let started = std::thread::Builder::new().name(name).spawn(move || postman.work(&asked));
        started.map_err(|error| format!("a thread could not be started: {error}"))?;
        Ok(Self { jobs, noted })
    }

    async fn send(&self, letters: Vec<Letter>) -> Vec<Result<(), Class>> {
        let count = letters.len();
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(Job { letters, answer }).is_err() {
            return vec![Err(Class::Permanent); count];
        }
        answered.await.unwrap_or_else(|_| vec![Err(Class::Permanent); count])
    }
}

impl DeadLetters for KafkaLetters {
    fn publish(&self, batch: Vec<Letter>) -> Later<'_, Vec<Result<(), Class>>> {
        Box::pin(async move {
            let sent = self.send(batch.clone()).await;
            let durable = batch.into_iter().zip(&sent).filter(|(_, result)| result.is_ok());
            let mut noted =
                self.noted.publish(durable.map(|(letter, _)| letter).collect()).await.into_iter();
            let unsaid = Err(Class::Transient);
            sent.into_iter().map(|result| result.and_then(|()| noted.next().unwrap_or(unsaid))).collect()
        })
    }
}

/// What the thread has.
struct Postman {
    options: LetterOptions,
    producer: KafkaProducer,
    topics: Topics,
    /// Of each topic that is there, how many.
    partitions: BTreeMap<String, i32>,
    unsent: Seldom,
}

impl Postman {
    fn work(&mut self, jobs: &Receiver<Job>) {
        let mut look = Instant::now();
        loop {
            let missing = self.options.topics.iter().any(|t| !self.partitions.contains_key(&t.name));
            if missing && look <= Instant::now() {
                self.find();
                look = Instant::now() + AGAIN;
            }
            let wait = if missing { look.saturating_duration_since(Instant::now()) } else { AGAIN };
            match jobs.recv_timeout(wait) {
                Ok(job) => {
                    // The asker may be gone, at the end of a worker.
                    drop(job.answer.send(self.post(&job.letters)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks for the topics, and makes those that are missing.
    fn find(&mut self) {
        for topic in &self.options.topics {
            if self.partitions.contains_key(&topic.name) {
                continue;
            }
            match self.topics.ensure(topic, self.options.create) {
                Ok(count) => {
                    self.partitions.insert(topic.name.clone(), i32::try_from(count).unwrap_or(i32::MAX));
                }
                Err(why) => tracing::error!(
                    pipeline = %self.options.pipeline, topic = topic.name,
                    "dead letters cannot be written yet: {why}. It is looked for again; messages that fail stay uncommitted"
                ),
            }
        }
    }

    /// Sends those whose topic is known. The others wait: sending would have the broker make a topic of
    /// its own taste, where it makes topics by itself.
    fn post(&self, letters: &[Letter]) -> Vec<Result<(), Class>> {
        let now = wall_ms();
        let options = &self.options;
        let headers: Vec<_> = letters
            .iter()
            .map(|l| options.style.headers(&options.pipeline, &options.group_id, l, now))
            .collect();
        let records: Vec<Option<Outgoing<'_>>> =
            letters.iter().zip(&headers).map(|(letter, headers)| self.record(letter, headers)).collect();
        let known: Vec<Outgoing<'_>> = records.iter().flatten().copied().collect();
        let mut sent = self.producer.send(&known).into_iter();
        let result = |record: Option<Outgoing<'_>>| match (record, record.and_then(|_| sent.next())) {
            (_, Some(Ok(_))) => Ok(()),
            (Some(record), Some(Err(why))) => Err(self.refused(record.topic, &why)),
            _ => Err(Class::Transient),
        };
        records.into_iter().map(result).collect()
    }

    fn refused(&self, topic: &str, why: &str) -> Class {
        if let Some(times) = self.unsent.again(1, Instant::now()) {
            tracing::error!(
                pipeline = %self.options.pipeline, topic, times,
                "a dead letter could not be written: {why}. Its message stays uncommitted, and the letter is tried again"
            );
        }
        Class::Transient
    }

    /// The record that the message was, in the same partition if there is one; none while the topic is
    /// missing.
    fn record<'l>(
        &'l self,
        letter: &'l Letter,
        headers: &'l [pelton_core::Header],
    ) -> Option<Outgoing<'l>> {
        let message = &*letter.message;
        let topic = self.options.topics.iter().find(|t| *t.origin == *message.origin);
        let topic = topic.or(self.options.topics.first())?.name.as_str();
        let count = *self.partitions.get(topic)?;
        Some(Outgoing {
            topic,
            key: message.key.as_deref(),
            value: (!message.tombstone).then_some(&*message.body),
            headers,
            published_at_ms: message.published_at_ms,
            partition: place(&message.id).map(|(_, partition, _)| partition).filter(|p| *p < count),
            replays: None,
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "it is written for people, and nothing is measured with it")]
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
