//! Dead letters in topics: sent and acknowledged by all replicas before the ledger is told.

use super::jobs::{Job, answer, together};
use super::producer::KafkaProducer;
use super::refused::{Refusal, Refused};
use super::style::{HeaderStyle, partition_in};
use super::topics::{LetterTopic, Topics};
use crate::points;
use pelton_broker_common::clock::wall_ms;
use pelton_broker_common::fate::{self, Fate};
use pelton_broker_common::fuse::Fuse;
use pelton_broker_common::log_throttle::LogThrottle;
use pelton_broker_common::trouble::Trouble;
use pelton_core::broker::Outgoing;
use pelton_core::ports::{BoxFuture, DeadLetters, ErrorClass};
use pelton_core::{Letter, Panicked};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long the broker may take to say what topics it has.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks for topics that are missing, or have too few partitions.
const TOPICS_INTERVAL: Duration = Duration::from_secs(10);

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
    /// Told of letters that are durable in their topic.
    noted: Arc<dyn DeadLetters>,
    /// Takes those that the topic never would.
    otherwise: Arc<dyn DeadLetters>,
    trouble: Arc<Trouble>,
    fuse: Arc<Fuse>,
}

impl KafkaLetters {
    /// Starts the thread that sends, and looks for the topics first. `noted` is told of letters that
    /// are durable; what a topic refuses for what it is (for its size, its time) is kept by `otherwise`.
    /// Returns at once: an unreachable broker is logged and tried again for ever.
    ///
    /// # Errors
    /// In words: the client library refuses the options, or the thread cannot be started.
    pub fn open(
        options: LetterOptions,
        noted: Arc<dyn DeadLetters>,
        otherwise: Arc<dyn DeadLetters>,
    ) -> Result<Self, String> {
        let producer = KafkaProducer::open(&options.bootstrap_servers, &options.librdkafka)?;
        let topics = Topics::open(&options.bootstrap_servers, &options.librdkafka, METADATA_TIMEOUT)?;
        let (jobs, asked) = channel();
        let trouble = Arc::<Trouble>::default();
        let (partitions, counted, unsent) = Default::default();
        let shown = trouble.clone();
        let mut postman = LetterSender { options, producer, topics, partitions, counted, unsent, shown };
        let name = format!("letters-{}", postman.options.pipeline);
        let fuse = Arc::new(Fuse::default());
        let of_thread = fuse.clone();
        let started = std::thread::Builder::new().name(name).spawn(move || {
            of_thread
                .contain("the thread that sends dead letters to Kafka", || postman.work(&asked))
                .unwrap_or_default();
        });
        started.map_err(|error| format!("a thread could not be started: {error}"))?;
        Ok(Self { jobs, noted, otherwise, trouble, fuse })
    }

    /// None when the thread has ended.
    async fn send(&self, letters: Vec<Letter>) -> Option<Vec<Fate>> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { letters, answer }).ok()?;
        answered.await.ok()
    }
}

impl DeadLetters for KafkaLetters {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            match self.send(batch.clone()).await {
                Some(fates) => fate::settle(&batch, fates, &*self.noted, &*self.otherwise).await,
                // Its thread has panicked, which the pipeline is told: no drain waits for what nobody
                // writes any more.
                None => vec![Err(ErrorClass::LeaseLost); batch.len()],
            }
        })
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.told()
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(self.fuse.blown())
    }
}

/// What the thread has.
struct LetterSender {
    options: LetterOptions,
    producer: KafkaProducer,
    topics: Topics,
    /// Of each topic that is there, how many.
    partitions: BTreeMap<String, i32>,
    /// When they were counted again last.
    counted: Option<Instant>,
    unsent: LogThrottle,
    shown: Arc<Trouble>,
}

/// A letter's topic, and what became of the letter; none while the topic is missing.
type Sent = Option<(String, Result<String, Refused>)>;

impl LetterSender {
    fn work(&mut self, jobs: &Receiver<Job>) {
        let mut look = Instant::now();
        loop {
            let missing = self.options.topics.iter().any(|t| !self.partitions.contains_key(&t.name));
            if missing && look <= Instant::now() {
                self.find();
                look = Instant::now() + TOPICS_INTERVAL;
            }
            let wait =
                if missing { look.saturating_duration_since(Instant::now()) } else { TOPICS_INTERVAL };
            match jobs.recv_timeout(wait) {
                Ok(job) => {
                    let (letters, askers) = together(job, jobs);
                    answer(askers, self.post(&letters));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks for the topics that are not known to be there, and makes those that are missing.
    fn find(&mut self) {
        let mut trouble = None;
        for topic in &self.options.topics {
            if self.partitions.contains_key(&topic.name) {
                continue;
            }
            let found = self.topics.ensure(topic, self.options.create);
            // The producer is asked too, so that it knows of a topic that it took for gone.
            match found.and_then(|_| self.producer.partitions(&topic.name)) {
                Ok(count) => {
                    self.partitions.insert(topic.name.clone(), i32::try_from(count).unwrap_or(i32::MAX));
                }
                Err(why) => {
                    tracing::error!(
                        pipeline = %self.options.pipeline, topic = topic.name,
                        "dead letters cannot be written yet: {why}. It is looked for again; messages that \
                         fail stay uncommitted"
                    );
                    trouble = Some(why);
                }
            }
        }
        self.shown.show(trouble);
    }

    /// Sends those whose topic is known. The others wait: sending would have the broker make a topic of
    /// its own taste, where it makes topics by itself.
    fn post(&mut self, letters: &[Letter]) -> Vec<Fate> {
        self.count_again(letters);
        let mut sent = self.send(&letters.iter().collect::<Vec<_>>());
        let is_lost = |sent: &Sent| {
            let refused = sent.as_ref().and_then(|(_, result)| result.as_ref().err());
            refused.is_some_and(|refused| matches!(refused.kind, Refusal::Topic | Refusal::Partition))
        };
        let lost: Vec<usize> = (0..sent.len()).filter(|place| is_lost(&sent[*place])).collect();
        if !lost.is_empty() {
            let topics: BTreeSet<String> =
                lost.iter().filter_map(|p| Some(sent[*p].as_ref()?.0.clone())).collect();
            self.find_again(&topics);
            let again: Vec<&Letter> = lost.iter().map(|place| &letters[*place]).collect();
            for (place, result) in lost.into_iter().zip(self.send(&again)) {
                sent[place] = result;
            }
        }
        let (fates, words): (Vec<Fate>, Vec<Option<String>>) =
            sent.into_iter().zip(letters).map(|(sent, letter)| self.fate(sent, letter)).unzip();
        // Those of a topic that is missing have their words already.
        if !fates.contains(&Fate::Unsent) || words.iter().any(Option::is_some) {
            self.shown.show(words.into_iter().flatten().next());
        }
        fates
    }

    /// What is known of these topics is not true any more: they were deleted, or made anew.
    fn find_again(&mut self, topics: &BTreeSet<String>) {
        for topic in topics {
            tracing::warn!(
                pipeline = %self.options.pipeline, topic,
                "the topic for dead letters, or a partition of it, is gone while the worker runs: it is \
                 looked for, and made if it may be"
            );
            self.partitions.remove(topic);
        }
        self.find();
    }

    /// A letter of a partition that its topic had not: it may have got more since.
    fn count_again(&mut self, letters: &[Letter]) {
        let beyond = |letter: &Letter| {
            let topic = self.topic_of(letter)?;
            let count = *self.partitions.get(topic)?;
            let partition = partition_in(letter.message.origin(), &letter.message.id().text())?;
            (partition >= count).then(|| topic.to_owned())
        };
        let topics: BTreeSet<String> = letters.iter().filter_map(beyond).collect();
        if topics.is_empty() || self.counted.is_some_and(|at| at.elapsed() < TOPICS_INTERVAL) {
            return;
        }
        self.counted = Some(Instant::now());
        for topic in topics {
            // Whatever is wrong with the topic is said when it is written to.
            if let Ok(count) = self.producer.partitions(&topic) {
                self.partitions.insert(topic, i32::try_from(count).unwrap_or(i32::MAX));
            }
        }
    }

    fn send(&self, letters: &[&Letter]) -> Vec<Sent> {
        points::reach("kafka-letter");
        let now = wall_ms();
        let options = &self.options;
        let headers: Vec<_> = letters
            .iter()
            .map(|l| options.style.headers(&options.pipeline, &options.group_id, l, now))
            .collect();
        let records: Vec<Option<Outgoing<'_>>> =
            letters.iter().zip(&headers).map(|(letter, headers)| self.record(letter, headers)).collect();
        let is_known: Vec<bool> = records.iter().map(Option::is_some).collect();
        let known: Vec<Outgoing<'_>> = records.into_iter().flatten().collect();
        let mut sent = known.iter().zip(self.producer.send(&known));
        let of = |is_known: bool| {
            let (record, result) = is_known.then(|| sent.next()).flatten()?;
            Some((record.destination.clone()?.into_owned(), result))
        };
        is_known.into_iter().map(of).collect()
    }

    /// Where a letter is now, and why it is nowhere.
    fn fate(&self, sent: Sent, letter: &Letter) -> (Fate, Option<String>) {
        let pipeline = &*self.options.pipeline;
        match sent {
            None => (Fate::Unsent, None),
            Some((_, Ok(_))) => (Fate::There, None),
            Some((topic, Err(refused))) if refused.kind.is_for_good() => {
                tracing::warn!(
                    pipeline,
                    topic,
                    message_id = &*letter.message.id().text(),
                    "the topic takes no such dead letter: {}. It is kept in data_dir, where `pelton dlq` \
                     finds it too",
                    refused.words
                );
                (Fate::Refused, None)
            }
            Some((topic, Err(refused))) => {
                if let Some(times) = self.unsent.again(1, Instant::now()) {
                    tracing::error!(
                        pipeline,
                        topic,
                        times,
                        "a dead letter could not be written: {}. Its message stays uncommitted, and the \
                         letter is tried again",
                        refused.words
                    );
                }
                (Fate::Unsent, Some(refused.words))
            }
        }
    }

    fn topic_of(&self, letter: &Letter) -> Option<&str> {
        let own = self.options.topics.iter().find(|t| *t.origin == *letter.message.origin());
        Some(own.or(self.options.topics.first())?.name.as_str())
    }

    /// The record that the message was, in the same partition if there is one; none while the topic is
    /// missing.
    fn record<'l>(
        &'l self,
        letter: &'l Letter,
        headers: &'l [pelton_core::Header],
    ) -> Option<Outgoing<'l>> {
        let message = &letter.message;
        let topic = self.topic_of(letter)?;
        let count = *self.partitions.get(topic)?;
        Some(Outgoing {
            destination: Some(topic.into()),
            partition: partition_in(message.origin(), &message.id().text()).filter(|p| *p < count),
            key: message.key().map(Into::into),
            headers: headers.into(),
            body: (!message.tombstone()).then(|| message.body().into()),
            published_at_ms: message.published_at_ms(),
            ..Outgoing::default()
        })
    }
}
