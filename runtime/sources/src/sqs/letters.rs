//! Dead letters in a queue: taken by the service before the ledger is told.

use super::client::Connection;
use super::kept::{LETTER, envelope};
use super::options::is_fifo;
use super::outgoing::{Outgoing, send};
use pelton_core::Letter;
use pelton_core::ports::{Class, DeadLetters, Later};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The port.
pub struct SqsLetters {
    pipeline: Arc<str>,
    queue_url: String,
    connection: Connection,
    noted: Arc<dyn DeadLetters>,
}

impl SqsLetters {
    /// Letters of a pipeline go to a queue. `noted` is told of those that are durable there.
    #[must_use]
    pub fn new(
        pipeline: &str,
        queue_url: &str,
        connection: Connection,
        noted: Arc<dyn DeadLetters>,
    ) -> Self {
        Self { pipeline: pipeline.into(), queue_url: queue_url.to_owned(), connection, noted }
    }

    async fn send(&self, letters: &[Letter]) -> Vec<Result<(), Class>> {
        let now = wall_ms();
        let outgoing: Vec<Outgoing> = letters.iter().map(|letter| self.outgoing(letter, now)).collect();
        let client = self.connection.client().await;
        let sent = send(client, &self.queue_url, &outgoing).await;
        let result = |result: Result<String, String>| {
            result.map(drop).map_err(|why| {
                tracing::error!(
                    pipeline = %self.pipeline, queue = self.queue_url,
                    "a dead letter could not be written: {why}. Its message stays in its queue, and the letter is tried again"
                );
                Class::Transient
            })
        };
        sent.into_iter().map(result).collect()
    }

    fn outgoing(&self, letter: &Letter, now: u64) -> Outgoing {
        let message = &letter.message;
        let mut more = vec![(LETTER, envelope(&self.pipeline, letter, now))];
        // For people who look at the queue with other tools.
        more.push(("pelton-cause", letter.cause.as_str().to_owned()));
        let dedup_id = format!("{}-{now}", short_id(&message.id));
        Outgoing {
            key: message.key.clone().filter(|_| is_fifo(&self.queue_url)),
            headers: message.headers.clone(),
            body: message.body.clone(),
            dedup_id: is_fifo(&self.queue_url).then_some(dedup_id),
            more,
            ..Outgoing::default()
        }
    }
}

/// What of an id the service lets an id for deduplication have.
fn short_id(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(100).collect()
}

impl DeadLetters for SqsLetters {
    fn publish(&self, batch: Vec<Letter>) -> Later<'_, Vec<Result<(), Class>>> {
        Box::pin(async move {
            let sent = self.send(&batch).await;
            let durable = batch.into_iter().zip(&sent).filter(|(_, result)| result.is_ok());
            let mut noted =
                self.noted.publish(durable.map(|(letter, _)| letter).collect()).await.into_iter();
            let unsaid = Err(Class::Transient);
            sent.into_iter().map(|result| result.and_then(|()| noted.next().unwrap_or(unsaid))).collect()
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "it is written for people, and nothing is measured with it")]
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
