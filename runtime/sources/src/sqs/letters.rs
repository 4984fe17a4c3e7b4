//! Dead letters in a queue: taken by the service before the ledger is told.

use super::client::Connection;
use super::kept::{LETTER, MAX_REASON, envelope};
use super::options::is_fifo;
use super::outgoing::{Outgoing, excess, send};
use pelton_core::ports::{Class, DeadLetters, Later};
use pelton_core::{Letter, Message, letter};
use std::hash::{DefaultHasher, Hash, Hasher};
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

    /// A letter as it is sent. One that would be too large has less of its reason; and where even that does
    /// not fit, it is the bare message, as the queue's own redrive would put it there.
    fn outgoing(&self, letter: &Letter, now: u64) -> Outgoing {
        let full = self.with_reason(letter, now, MAX_REASON);
        if excess(&full) == 0 {
            return full;
        }
        let brief = self.with_reason(letter, now, 0);
        if excess(&brief) == 0 {
            return brief;
        }
        tracing::warn!(
            pipeline = %self.pipeline, queue = self.queue_url, message = letter.message.id,
            "a message leaves no room in its dead letter to say why it is one: {}, {}: {}",
            letter.cause.as_str(), letter.failure.as_str(), letter.reason
        );
        let bare = Outgoing { more: Vec::new(), ..brief };
        let named = Outgoing { id: Some(letter.message.id.clone()), ..bare.clone() };
        if excess(&named) == 0 { named } else { bare }
    }

    fn with_reason(&self, letter: &Letter, now: u64, most_reason: usize) -> Outgoing {
        let message = &letter.message;
        let mut more = vec![(LETTER, envelope(&self.pipeline, letter, now, most_reason))];
        // For people who look at the queue with other tools.
        more.push(("pelton-cause", letter.cause.as_str().to_owned()));
        let fifo = is_fifo(&self.queue_url);
        Outgoing {
            key: message.key.clone().filter(|_| fifo),
            headers: message.headers.clone(),
            body: message.body.clone(),
            dedup_id: fifo.then(|| dedup_id(message, letter.attempts)),
            more,
            ..Outgoing::default()
        }
    }
}

/// What the service knows the repetition of a letter by: the same whenever this letter is sent, since the
/// answer to that may be lost; and another for each coming of its message, since that is no repetition.
fn dedup_id(message: &Message, attempts: u32) -> String {
    let mut hasher = DefaultHasher::new();
    let of_coming =
        |name: &str| ["sqs.sequence-number", "sqs.sent-timestamp", letter::REPLAY].contains(&name);
    message.headers.iter().filter(|h| of_coming(&h.name)).for_each(|h| h.value.hash(&mut hasher));
    (&message.id, message.published_at_ms, attempts).hash(&mut hasher);
    format!("{}-{:016x}", short_id(&message.id), hasher.finish())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::Header;
    use pelton_core::outcome::{Cause, Failure};

    struct Nowhere;

    impl DeadLetters for Nowhere {
        fn publish(&self, batch: Vec<Letter>) -> Later<'_, Vec<Result<(), Class>>> {
            Box::pin(async move { batch.iter().map(|_| Ok(())).collect() })
        }
    }

    fn letter(body: usize, reason: usize) -> Letter {
        let message = Message {
            id: "m-1".into(),
            pipeline: "orders".into(),
            origin: "orders.fifo".into(),
            key: Some(b"g".to_vec()),
            headers: Vec::new(),
            body: vec![b'x'; body],
            published_at_ms: None,
            replayed: false,
            tombstone: false,
        };
        Letter {
            message: Arc::new(message),
            identity: None,
            claim: None,
            skipped: 0,
            settle: None,
            cause: Cause::Rejected,
            failure: Failure::Reject,
            reason: "y".repeat(reason),
            attempts: 1,
            handler: "sha256:none".into(),
        }
    }

    fn letters() -> SqsLetters {
        let url = "http://localhost/0/letters.fifo";
        SqsLetters::new("orders", url, Connection::usual(url, None, None), Arc::new(Nowhere))
    }

    #[test]
    fn a_letter_always_fits() {
        let of = |body, reason| letters().outgoing(&letter(body, reason), 1);
        let most = 1 << 20;
        let said = |outgoing: &Outgoing| outgoing.more.iter().map(|(_, text)| text.len()).sum::<usize>();
        assert!(said(&of(100, 1_000)) > 1_000);
        let brief = of(most - 1_000, 1_000);
        assert!((1..1_000).contains(&said(&brief)) && excess(&brief) == 0);
        let named = of(most - 100, 1_000);
        assert_eq!((said(&named), excess(&named), named.id.as_deref()), (0, 0, Some("m-1")));
        let bare = of(most, 1_000);
        assert_eq!((said(&bare), excess(&bare), bare.body.len()), (0, 0, most));
    }

    #[test]
    fn a_letter_is_known_again_and_another_is_not_taken_for_it() {
        let with = |name: &str| {
            let mut message = (*letter(1, 1).message).clone();
            message.headers.push(Header { name: name.into(), value: b"7".to_vec() });
            dedup_id(&message, 1)
        };
        let plain = dedup_id(&letter(1, 1).message, 1);
        assert_eq!(with("sqs.receive-count"), plain, "the same message, received once more");
        assert_ne!(with("sqs.sequence-number"), plain);
        assert_ne!(with(letter::REPLAY), plain);
        assert_ne!(dedup_id(&letter(1, 1).message, 1), dedup_id(&letter(1, 1).message, 2));
    }
}
