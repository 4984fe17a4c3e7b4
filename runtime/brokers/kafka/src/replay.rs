//! A part of topics read once more, beside the group and without its knowledge: a source with an end.

use super::convert;
use super::options::KafkaOptions;
use super::partition::Partition;
use super::reader::{Damaged, Part, Reader, Unread};
use super::receipt::MAX_PLACES;
use pelton_core::contain::{contain, standing_at};
use pelton_core::ports::{BoxFuture, Capabilities, ErrorClass, Lag, Settle, Source};
use pelton_core::{Delivery, Receipt};
use rdkafka::message::{BorrowedMessage, Message};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify, mpsc};

/// Records read ahead of the pipeline. Each may have a megabyte.
const AHEAD: usize = 64;
/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(10);

/// Reads each part once, in order, at most at a rate. Everything it hands over is marked as replayed;
/// nothing is committed anywhere.
pub struct KafkaReplay {
    inbox: Mutex<Inbox>,
    shared: Arc<Shared>,
}

struct Inbox {
    arrived: mpsc::Receiver<Delivery>,
    /// It did not fit into the last answer.
    next: Option<Delivery>,
}

#[derive(Default)]
struct Shared {
    read: AtomicU64,
    settled: AtomicU64,
    ended: AtomicBool,
    closing: AtomicBool,
    /// It was closed before its end.
    cut: AtomicBool,
    closed: Notify,
    failed: Lock<Option<Unread>>,
}

impl KafkaReplay {
    /// Starts to read. `rate` is in records a second.
    ///
    /// # Errors
    /// In words: the client library refuses the options, or a thread cannot be started.
    pub fn open(
        options: KafkaOptions,
        parts: Vec<(String, Vec<Part>)>,
        rate: Option<f64>,
        damaged: Damaged,
    ) -> Result<Self, String> {
        let reader = Reader::open_with(&options.bootstrap_servers, &options.librdkafka, ASK, damaged)?;
        let (sent, arrived) = mpsc::channel(AHEAD);
        let shared = Arc::new(Shared::default());
        let reading = Reading { options, sent, shared: shared.clone(), began: Instant::now(), rate };
        let name = format!("replay-{}", reading.options.pipeline);
        let started = std::thread::Builder::new().name(name).spawn(move || reading.run(&reader, &parts));
        started.map_err(|error| format!("a thread could not be started: {error}"))?;
        Ok(Self { inbox: Mutex::new(Inbox { arrived, next: None }), shared })
    }

    fn read(&self) -> u64 {
        self.shared.read.load(SeqCst)
    }

    /// Everything was read, and the pipeline is done with it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let all_read = self.shared.ended.load(SeqCst) && !self.shared.cut.load(SeqCst);
        all_read && self.failed().is_none() && self.settled() >= self.read()
    }

    /// Records that the pipeline is done with.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.shared.settled.load(SeqCst)
    }

    /// Why it ended before its end, if it did.
    #[must_use]
    pub fn failed(&self) -> Option<Unread> {
        self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the thread has.
struct Reading {
    options: KafkaOptions,
    sent: mpsc::Sender<Delivery>,
    shared: Arc<Shared>,
    began: Instant,
    rate: Option<f64>,
}

impl Reading {
    fn run(&self, reader: &Reader, parts: &[(String, Vec<Part>)]) {
        if let Err(panicked) = contain(|| self.read_all(reader, parts)) {
            self.fail(panicked.at("the thread that reads for a replay").to_string().into());
        }
        self.shared.ended.store(true, SeqCst);
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
            self.fail(why);
        }
    }

    /// Of another topic of this name the ledger knows what says nothing of this one.
    fn meet(&self, reader: &Reader, topic: &str, parts: &[Part]) -> Result<(), String> {
        let (Some(id), Some(number)) = (reader.id_of(topic, parts)?, self.options.topic(topic)) else {
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
            Ok(Partition::new(name.clone(), p.partition, id))
        };
        parts.iter().map(of).collect()
    }

    /// The first reason counts.
    fn fail(&self, why: Unread) {
        self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
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
            self.fail(words.into());
            return false;
        };
        if let Some(message) = Arc::get_mut(&mut delivery.message) {
            message.replayed = true;
        }
        let number = self.shared.read.load(SeqCst);
        self.wait_for_turn(number);
        self.shared.read.store(number + 1, SeqCst);
        let sent = !self.shared.closing.load(SeqCst) && self.sent.blocking_send(delivery).is_ok();
        self.shared.cut.fetch_or(!sent, SeqCst);
        sent
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
        Capabilities {
            lease_ms: None,
            native_delay: false,
            lane_order: false,
            cumulative: false,
            shares_ledger: false,
        }
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move {
            let mut inbox = self.inbox.lock().await;
            let first = match inbox.next.take() {
                Some(next) => Some(next),
                None => tokio::select! {
                    arrived = inbox.arrived.recv() => arrived,
                    () = self.shared.closed.notified() => return Ok(Vec::new()),
                },
            };
            match first {
                Some(first) => Ok(inbox.fill(first, max, max_bytes)),
                // Read to the end: there is nothing to wait for but the end of the source.
                None => {
                    self.shared.closed.notified().await;
                    Ok(Vec::new())
                }
            }
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let done = batch.iter().filter(|(_, how)| *how == Settle::Ack).count() as u64;
        self.shared.settled.fetch_add(done, SeqCst);
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        // Whether it has ended is read first: what is read after that is final.
        let more = u64::from(!self.shared.ended.load(SeqCst));
        let unsettled = self.read() - self.settled().min(self.read()) + more;
        Box::pin(std::future::ready(Ok(Lag { unsettled })))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.closing.store(true, SeqCst);
        self.shared.closed.notify_one();
        Box::pin(std::future::ready(()))
    }
}
