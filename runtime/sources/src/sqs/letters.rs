//! Dead letters in a queue: taken by the service before the ledger is told.

use super::client::Connection;
use super::kept::{LETTER, envelope};
use super::options::is_fifo;
use super::outgoing::{Outgoing, Unsent, is_group, send};
use pelton_core::Letter;
use pelton_core::ports::{Class, Counted, DeadLetters, Later};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The port.
pub struct SqsLetters {
    pipeline: Arc<str>,
    queue_url: String,
    connection: Connection,
    /// Told of letters that are durable in the queue.
    noted: Arc<dyn DeadLetters>,
    /// Takes those that the service never would.
    otherwise: Arc<dyn DeadLetters>,
}

/// Where a letter is, or is not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    InQueue,
    /// The service takes no such message.
    Refused,
    Unsent,
}

impl SqsLetters {
    /// Letters of a pipeline go to a queue. `noted` is told of those that are durable there. What the
    /// service refuses for what it is (a message that fills a megabyte has no room for why it failed)
    /// is kept by `otherwise`.
    #[must_use]
    pub fn new(
        pipeline: &str,
        queue_url: &str,
        connection: Connection,
        noted: Arc<dyn DeadLetters>,
        otherwise: Arc<dyn DeadLetters>,
    ) -> Self {
        Self { pipeline: pipeline.into(), queue_url: queue_url.to_owned(), connection, noted, otherwise }
    }

    async fn send(&self, letters: &[Letter]) -> Vec<Fate> {
        let now = wall_ms();
        let outgoing: Vec<Outgoing> = letters.iter().map(|letter| self.outgoing(letter, now)).collect();
        let client = self.connection.client().await;
        let sent = send(client, &self.queue_url, &outgoing).await;
        sent.into_iter().zip(letters).map(|(sent, letter)| self.fate(sent.err(), letter)).collect()
    }

    fn fate(&self, unsent: Option<Unsent>, letter: &Letter) -> Fate {
        let (pipeline, queue, message_id) = (&*self.pipeline, &*self.queue_url, &*letter.message.id);
        match unsent {
            None => Fate::InQueue,
            Some(Unsent { words, for_good: true }) => {
                tracing::warn!(
                    pipeline,
                    queue,
                    message_id,
                    "SQS takes no such dead letter: {words}. It is kept in data_dir, where `pelton dlq` finds it too"
                );
                Fate::Refused
            }
            Some(Unsent { words, .. }) => {
                tracing::error!(
                    pipeline,
                    queue,
                    message_id,
                    "a dead letter could not be written: {words}. Its message stays where it is, and the letter is tried again"
                );
                Fate::Unsent
            }
        }
    }

    fn outgoing(&self, letter: &Letter, now: u64) -> Outgoing {
        let message = &letter.message;
        let mut more = vec![(LETTER, envelope(&self.pipeline, letter, now))];
        // For people who look at the queue with other tools.
        more.push(("pelton-cause", letter.cause.as_str().to_owned()));
        let dedup_id = format!("{}-{now}", short_id(&message.id));
        Outgoing {
            key: message.key.as_deref().filter(|_| is_fifo(&self.queue_url)).map(group),
            headers: message.headers.clone(),
            body: message.body.clone(),
            dedup_id: is_fifo(&self.queue_url).then_some(dedup_id),
            more,
            ..Outgoing::default()
        }
    }
}

/// The group of a letter: its message's key, or a digest of one that is no group. The key itself is in what is
/// said of the letter.
fn group(key: &[u8]) -> Vec<u8> {
    if is_group(key) {
        return key.to_vec();
    }
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    format!("pelton-{:016x}", hasher.finish()).into_bytes()
}

/// What of an id the service lets an id for deduplication have.
fn short_id(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(100).collect()
}

impl DeadLetters for SqsLetters {
    fn publish(&self, batch: Vec<Letter>) -> Later<'_, Vec<Result<(), Class>>> {
        Box::pin(async move {
            let fates = self.send(&batch).await;
            let of = |fate: Fate| {
                let these = batch.iter().zip(&fates).filter(|(_, its)| **its == fate);
                these.map(|(letter, _)| letter.clone()).collect::<Vec<_>>()
            };
            let mut noted = stored(&*self.noted, of(Fate::InQueue)).await;
            let mut kept = stored(&*self.otherwise, of(Fate::Refused)).await;
            let result = |fate| match fate {
                Fate::InQueue => noted.next(),
                Fate::Refused => kept.next(),
                Fate::Unsent => None,
            };
            fates.into_iter().map(result).map(|known| known.unwrap_or(Err(Class::Transient))).collect()
        })
    }

    fn counted(&self) -> Counted {
        self.connection.requests().counted()
    }
}

async fn stored(port: &dyn DeadLetters, letters: Vec<Letter>) -> std::vec::IntoIter<Result<(), Class>> {
    if letters.is_empty() { Vec::new().into_iter() } else { port.publish(letters).await.into_iter() }
}

#[allow(clippy::disallowed_methods, reason = "it is written for people, and nothing is measured with it")]
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
