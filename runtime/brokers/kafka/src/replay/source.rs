//! A part of topics read once more, beside the group and without its knowledge: a source with an end.

use super::Parts;
use crate::convert;
use crate::options::KafkaOptions;
use crate::partition::Partition;
use crate::reader::{Damaged, Part, Reader, Unread};
use crate::receipt::MAX_PLACES;
use pelton_broker_common::replay::{REPLAY_CAPABILITIES, ReplayProgress};
use pelton_core::broker::BoundedSource;
use pelton_core::contain::{contain, standing_at};
use pelton_core::ports::{BoxFuture, Capabilities, ErrorClass, Lag, Scope, Settle, Source};
use pelton_core::{Delivery, Message, Receipt};
use rdkafka::message::{BorrowedMessage, Message as _};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

/// Records read ahead of the pipeline. Each may have a megabyte.
const AHEAD: usize = 64;
/// How long the broker may take for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads each part once, in order, at most at a rate. Everything it hands over is marked as replayed;
/// nothing is committed anywhere.
pub struct KafkaReplay {
    inbox: Mutex<Inbox>,
    scopes: Arc<Scopes>,
    progress: Arc<ReplayProgress<Unread>>,
}

/// What numbers the records of each topic: noted before any of them is handed over.
type Scopes = std::sync::Mutex<BTreeMap<String, Scope>>;

struct Inbox {
    arrived: mpsc::Receiver<Delivery>,
    /// It did not fit into the last answer.
    next: Option<Delivery>,
}

impl KafkaReplay {
    /// Starts to read. `rate` is in records a second.
    ///
    /// # Errors
    /// In words: the client library refuses the options, or a thread cannot be started.
    pub fn open(
        options: KafkaOptions,
        parts: Parts,
        rate: Option<f64>,
        damaged: Damaged,
    ) -> Result<Self, String> {
        let reader =
            Reader::open_with(&options.bootstrap_servers, &options.librdkafka, REQUEST_TIMEOUT, damaged)?;
        let (sent, arrived) = mpsc::channel(AHEAD);
        let progress = Arc::new(ReplayProgress::default());
        let scopes = Arc::<Scopes>::default();
        let reading = Reading {
            options,
            sent,
            scopes: scopes.clone(),
            progress: progress.clone(),
            began: Instant::now(),
            rate,
        };
        let name = format!("replay-{}", reading.options.pipeline);
        let started = std::thread::Builder::new().name(name).spawn(move || reading.run(&reader, &parts));
        started.map_err(|error| format!("a thread could not be started: {error}"))?;
        Ok(Self { inbox: Mutex::new(Inbox { arrived, next: None }), scopes, progress })
    }

    /// Why it ended before its end, if it did.
    pub fn unread(&self) -> Option<Unread> {
        self.progress.failed()
    }
}

impl BoundedSource for KafkaReplay {
    fn settled(&self) -> u64 {
        self.progress.settled()
    }

    fn is_complete(&self) -> bool {
        self.progress.is_complete()
    }

    fn failed(&self) -> Option<String> {
        self.unread().map(|unread| unread.words)
    }
}

/// What the thread has.
struct Reading {
    options: KafkaOptions,
    sent: mpsc::Sender<Delivery>,
    scopes: Arc<Scopes>,
    progress: Arc<ReplayProgress<Unread>>,
    began: Instant,
    rate: Option<f64>,
}

impl Reading {
    fn run(&self, reader: &Reader, parts: &[(String, Vec<Part>)]) {
        if let Err(panicked) = contain(|| self.read_all(reader, parts)) {
            self.progress.fail(panicked.at("the thread that reads for a replay").to_string().into());
        }
        self.progress.end();
    }

    fn read_all(&self, reader: &Reader, parts: &[(String, Vec<Part>)]) {
        let (mut place, mut result) = (0, Ok::<(), Unread>(()));
        for (topic, parts) in parts {
            result = result.and_then(|()| {
                self.meet(reader, topic, parts)?;
                let partitions = self.partitions(topic, parts)?;
                reader.read(topic, parts, |record| {
                    let at = || format!("{topic}/{}:{}", record.partition(), record.offset());
                    standing_at(at, || self.hand_over(record, place, &partitions))
                })
            });
            place += parts.len() as u64;
        }
        if let Err(why) = result {
            self.progress.fail(why);
        }
    }

    /// Of another topic of this name the ledger knows what says nothing of this one.
    fn meet(&self, reader: &Reader, topic: &str, parts: &[Part]) -> Result<(), String> {
        let id = reader.id_of(topic, parts)?;
        let scope = id
            .as_deref()
            .map_or_else(|| reader.scope_without_id(topic, &self.options.bootstrap_servers), Into::into);
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), scope);
        let (Some(id), Some(number)) = (id, self.options.topic(topic)) else {
            return Ok(());
        };
        let noted = (self.options.topic_is)(number, &id);
        noted.map(drop).ok_or_else(|| "the ledger cannot be written now: try it again".to_owned())
    }

    fn partitions(&self, topic: &str, parts: &[Part]) -> Result<Vec<Partition>, String> {
        let name: Arc<str> = topic.into();
        let of = |p: &Part| {
            let id = self.options.partition(topic, p.partition);
            let id =
                id.ok_or_else(|| format!("{topic}/{}: the ledger has no number for it", p.partition))?;
            Ok(Partition::new(&self.options.pipeline, name.clone(), p.partition, id))
        };
        parts.iter().map(of).collect()
    }

    /// Whether to read on.
    fn hand_over(&self, record: &BorrowedMessage<'_>, first: u64, partitions: &[Partition]) -> bool {
        let known = (first..).zip(partitions).find(|(_, p)| p.number == record.partition());
        let delivery = known
            .filter(|(place, _)| *place < MAX_PLACES)
            .and_then(|(place, partition)| convert::delivery(record, place, partition, &self.options));
        let Some(mut delivery) = delivery else {
            let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
            let words = format!(
                "{topic}/{partition}/{offset} is beyond what one replay can name: ask for fewer partitions"
            );
            self.progress.fail(words.into());
            return false;
        };
        delivery.message = delivery.message.replay();
        self.wait_for_turn(self.progress.read_one());
        // One that is read and not sent is never settled: the replay is not complete then.
        !self.progress.is_closing() && self.sent.blocking_send(delivery).is_ok()
    }

    #[allow(clippy::disallowed_methods, reason = "a rate is a wait: there is no fact to wait for")]
    fn wait_for_turn(&self, number: u64) {
        if let Some(rate) = self.rate {
            let at = self.began + Duration::from_secs_f64(number as f64 / rate);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
        }
    }
}

impl Inbox {
    /// What is there of a batch, once its first is.
    fn fill(&mut self, first: Delivery, max: usize, max_bytes: usize) -> Vec<Delivery> {
        let mut bytes = first.message.weight();
        let mut taken = vec![first];
        while taken.len() < max
            && let Ok(next) = self.arrived.try_recv()
        {
            bytes += next.message.weight();
            if bytes > max_bytes {
                self.next = Some(next);
                break;
            }
            taken.push(next);
        }
        taken
    }
}

impl Source for KafkaReplay {
    fn capabilities(&self) -> Capabilities {
        REPLAY_CAPABILITIES
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move {
            let mut inbox = self.inbox.lock().await;
            let first = match inbox.next.take() {
                Some(next) => Some(next),
                None => tokio::select! {
                    arrived = inbox.arrived.recv() => arrived,
                    () = self.progress.closed() => return Ok(Vec::new()),
                },
            };
            match first {
                Some(first) => Ok(inbox.fill(first, max, max_bytes)),
                // Read to the end: there is nothing to wait for but the end of the source.
                None => {
                    self.progress.closed().await;
                    Ok(Vec::new())
                }
            }
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(self.progress.settle(&batch)))
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        Box::pin(std::future::ready(Ok(self.progress.lag())))
    }

    fn scope(&self, message: &Message) -> Scope {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.get(message.origin()).cloned().unwrap_or_else(|| message.origin().into())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.progress.close();
        Box::pin(std::future::ready(()))
    }
}
