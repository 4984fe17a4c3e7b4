//! Sends the messages of an outbox.
//!
//! A FIFO queue knows a repetition by its deduplication id for five minutes, and keeps the order of a group.
//! So a call is waited for before the next one, which has nothing of a group of which a message waits.

use super::options::{BATCH, is_fifo};
use super::publish::SqsPublisher;
use pelton_broker_common::waiting_keys::WaitingKeys;
use pelton_core::broker::{BooksError, Outgoing, Published, Publisher, Unsent};

/// Sends to a queue.
pub struct SqsOutbox {
    publisher: SqsPublisher,
    queue_url: String,
}

impl SqsOutbox {
    pub fn new(publisher: SqsPublisher, queue_url: &str) -> Self {
        Self { publisher, queue_url: queue_url.to_owned() }
    }

    /// One call after the other.
    fn in_order(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let mut waiting = WaitingKeys::default();
        let mut results = Vec::with_capacity(batch.len());
        for call in batch.chunks(BATCH) {
            let next: Vec<Outgoing<'_>> =
                call.iter().filter(|message| !waiting.holds(message)).map(Outgoing::borrowed).collect();
            let mut sent = self.publisher.publish(&next)?.into_iter();
            let held: Vec<bool> = call.iter().map(|message| waiting.holds(message)).collect();
            for (message, held) in call.iter().zip(held) {
                let unsaid = || Err(Unsent::for_now("the service did not say whether it has it"));
                let result =
                    if held { Err(WaitingKeys::unsent()) } else { sent.next().unwrap_or_else(unsaid) };
                if result.is_ok() && waiting.holds(message) {
                    // It answers for each of a call.
                    tracing::warn!(
                        queue = self.queue_url,
                        "SQS has taken a message of a group and refused one before it in the same \
                         call, which is sent again: these two have changed places"
                    );
                }
                waiting.note(message, &result);
                results.push(result);
            }
        }
        Ok(results)
    }
}

impl Publisher for SqsOutbox {
    fn check(&mut self) -> Result<(), Unsent> {
        self.publisher.check()
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        if is_fifo(&self.queue_url) { self.in_order(batch) } else { self.publisher.publish(batch) }
    }
}
