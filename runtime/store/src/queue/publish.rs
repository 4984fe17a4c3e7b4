//! The way out into an embedded queue.

use crate::{SendError, Store};
use pelton_core::broker::{
    BooksError, Diagnosis, OpenError, OutboxTarget, Outgoing, Published, Publisher, Sent, Unsent,
};
use pelton_core::effects::StagedMessage;
use std::fmt;

/// Puts messages into a queue of the data directory; what comes back from a letter, into the queue it came
/// from.
pub struct QueuePublisher {
    store: Store,
    pipeline: String,
    queue: String,
}

impl QueuePublisher {
    /// Into this queue, for a pipeline: its ledger forgets what comes back.
    #[must_use]
    pub fn new(store: Store, pipeline: &str, queue: &str) -> Self {
        Self { store, pipeline: pipeline.to_owned(), queue: queue.to_owned() }
    }
}

impl Publisher for QueuePublisher {
    /// A queue that is not there is made.
    fn check(&mut self) -> Result<(), Unsent> {
        Ok(())
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let (back, new): (Vec<Outgoing<'_>>, Vec<Outgoing<'_>>) =
            batch.iter().map(Outgoing::borrowed).partition(|message| message.replay.is_some());
        // Either in one transaction.
        let sent = if new.is_empty() { Vec::new() } else { self.store.send(&self.queue, &new)? };
        if !back.is_empty() {
            self.store.put_back(&self.pipeline, &back)?;
        }
        let mut sent = sent.into_iter();
        let told = |message: &Outgoing<'_>| {
            if message.replay.is_some() {
                return Ok(Sent::as_it_is(message.id.as_deref().unwrap_or_default()));
            }
            let unsaid = || Err(Unsent::for_now("the store did not say whether it has it"));
            let refused = |why: SendError| Unsent::for_good(why.to_string());
            sent.next().map_or_else(unsaid, |sent| sent.map(Sent::as_it_is).map_err(refused))
        };
        Ok(batch.iter().map(told).collect())
    }
}

/// Messages of one call of the publisher, at most: they are one transaction.
const MOST: usize = 256;

/// An embedded queue as a target of an outbox that is kept elsewhere: a relay sends what is committed there.
#[derive(Clone)]
pub struct QueueTarget {
    store: Store,
    pipeline: String,
    queue: String,
}

impl QueueTarget {
    /// This queue, for a pipeline that sends to it.
    #[must_use]
    pub fn new(store: Store, pipeline: &str, queue: &str) -> Self {
        Self { store, pipeline: pipeline.to_owned(), queue: queue.to_owned() }
    }
}

impl fmt::Debug for QueueTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueueTarget").field(&self.queue).finish()
    }
}

impl OutboxTarget for QueueTarget {
    fn describe(&self) -> String {
        format!("queue {}", self.queue)
    }

    fn system(&self) -> &'static str {
        "pelton"
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>().is_some_and(|other| self.queue == other.queue)
    }

    /// Whoever sends is asked before: the queue's own words are those of its configuration.
    fn cannot_carry(&self, _: &StagedMessage) -> Option<String> {
        None
    }

    fn longest_delay_ms(&self) -> u64 {
        u64::MAX
    }

    fn most(&self) -> usize {
        MOST
    }

    fn probe(&self) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self) -> Diagnosis {
        Diagnosis::default()
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(QueuePublisher::new(self.store.clone(), &self.pipeline, &self.queue)))
    }
}
