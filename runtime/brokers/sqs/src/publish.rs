//! The way out for commands and effects: into the queue that a pipeline reads.

use super::convert::is_message_id;
use super::options::is_fifo;
use super::outgoing::{SqsMessage, excess, send};
use super::queue_admin::QueueAdmin;
use crate::{QueueConfig, SqsConfig};
use pelton_core::broker::{BooksError, Outgoing, Published, Publisher, Sent, Uncarried, Unsent};
use std::hash::{BuildHasher, RandomState};

/// The longest delay that a message may be sent with, in milliseconds.
pub(crate) const LONGEST_DELAY_MS: u64 = 900_000;
/// Bytes of an id for deduplication.
const MAX_DEDUP_ID: usize = 128;

/// What a new message cannot have.
pub fn cannot_carry(sqs: &SqsConfig, message: &Outgoing<'_>) -> Option<Uncarried> {
    let cannot = |does| Some(Uncarried::ByBroker { broker: "SQS", does });
    if message.delay_ms.is_some_and(|delay| delay > LONGEST_DELAY_MS) {
        return cannot("delays a message by 15m at most");
    }
    if message.id.as_deref().is_some_and(|id| !is_message_id(id)) {
        return Some(Uncarried::Id("takes 1 to 512 bytes without control characters"));
    }
    if message.delay_ms.is_some() && is_fifo(&sqs.queue.url) {
        return cannot("has no delayed messages in a FIFO queue");
    }
    None
}

/// Where a message goes, in words.
pub fn destination(sqs: &SqsConfig, message: &Outgoing<'_>) -> String {
    let key = message.key.as_deref().filter(|_| is_fifo(&sqs.queue.url));
    let group = key.map(|key| format!(", group {}", String::from_utf8_lossy(key)));
    format!("SQS queue {}{}", sqs.queue.name(), group.unwrap_or_default())
}

/// Puts messages into a queue.
pub struct SqsPublisher {
    admin: QueueAdmin,
    random: RandomState,
    sent: u64,
}

impl SqsPublisher {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// In words: a thread or a socket cannot be had.
    pub fn open(queue: &QueueConfig) -> Result<Self, String> {
        Ok(Self::by(queue.open()?))
    }

    /// The same, of a queue that is open.
    pub fn by(admin: QueueAdmin) -> Self {
        Self { admin, random: RandomState::new(), sent: 0 }
    }

    fn entry<'m>(&mut self, message: &'m Outgoing<'m>) -> (SqsMessage<'m>, bool) {
        let dedup_id = Some(self.dedup_id(message));
        let entry = |message| SqsMessage { message, dedup_id: dedup_id.clone(), more: Vec::new() };
        let marked = entry(message.borrowed());
        // One that filled all the room there is goes back as it came, or it never would.
        let as_new = message.replay.is_some() && excess(&marked) > 0;
        (if as_new { entry(message.unmarked()) } else { marked }, as_new)
    }

    /// A replay, an outbox's id and a producer's own are what SQS knows a repetition by, for five minutes;
    /// nothing else is one.
    fn dedup_id(&mut self, message: &Outgoing<'_>) -> String {
        self.sent += 1;
        let of_replay = message.replay.as_ref().map(|replay| &*replay.name);
        let named = message.outbox_id().or(message.id.as_deref()).filter(|id| is_dedup_id(id));
        let given = of_replay.or(named);
        let unique = || format!("{}-{:016x}", std::process::id(), self.random.hash_one(self.sent));
        given.map_or_else(unique, str::to_owned)
    }
}

fn is_dedup_id(id: &str) -> bool {
    (1..=MAX_DEDUP_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

impl Publisher for SqsPublisher {
    fn check(&mut self) -> Result<(), Unsent> {
        self.admin.facts().map(drop).map_err(Unsent::for_now)
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let (entries, as_new): (Vec<SqsMessage<'_>>, Vec<bool>) =
            batch.iter().map(|message| self.entry(message)).unzip();
        let QueueAdmin { runtime, connection, queue_url } = &self.admin;
        let sent = runtime.block_on(async { send(connection.client().await, queue_url, &entries).await });
        let told = |((message, as_new), sent): ((&Outgoing<'_>, bool), Result<String, Unsent>)| {
            let given = sent?;
            let id = message.id.as_deref().filter(|_| !as_new).map_or(given, str::to_owned);
            Ok(Sent { id, as_new })
        };
        Ok(batch.iter().zip(as_new).zip(sent).map(told).collect())
    }
}
