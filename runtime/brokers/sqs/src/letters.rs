//! Dead letters in a queue: taken by the service before the ledger is told.

use super::client::Connection;
use super::dead_letter_record::{LETTER, MAX_REASON, envelope};
use super::options::is_fifo;
use super::outgoing::{SqsMessage, excess, is_group, send};
use pelton_broker_common::clock::wall_ms;
use pelton_broker_common::fate::{self, Fate};
use pelton_broker_common::log_throttle::LogThrottle;
use pelton_broker_common::trouble::Trouble;
use pelton_core::broker::{Outgoing, Unsent};
use pelton_core::hash::hash_of;
use pelton_core::ports::{BoxFuture, Counted, DeadLetters, ErrorClass};
use pelton_core::{HeaderView, Letter, letter};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The port.
pub struct SqsLetters {
    pipeline: Arc<str>,
    queue_url: String,
    connection: Connection,
    /// Told of letters that are durable in the queue.
    noted: Arc<dyn DeadLetters>,
    /// Takes those that the service never would.
    otherwise: Arc<dyn DeadLetters>,
    /// Of this process.
    random: RandomState,
    /// Letters that nothing tells from others.
    nameless: AtomicU64,
    unsent: LogThrottle,
    trouble: Trouble,
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
        Self {
            pipeline: pipeline.into(),
            queue_url: queue_url.to_owned(),
            connection,
            noted,
            otherwise,
            random: RandomState::new(),
            nameless: AtomicU64::new(0),
            unsent: LogThrottle::default(),
            trouble: Trouble::default(),
        }
    }

    async fn send(&self, letters: &[Letter]) -> Vec<Fate> {
        let now = wall_ms();
        let outgoing: Vec<SqsMessage<'_>> =
            letters.iter().map(|letter| self.outgoing(letter, now)).collect();
        let client = self.connection.client().await;
        let sent = send(client, &self.queue_url, &outgoing).await;
        let told = sent.into_iter().zip(letters).map(|(sent, letter)| self.fate(sent.err(), letter));
        let (fates, words): (Vec<Fate>, Vec<Option<String>>) = told.unzip();
        self.trouble.show(words.into_iter().flatten().next());
        fates
    }

    /// Where a letter is now, and why it is nowhere.
    fn fate(&self, unsent: Option<Unsent>, letter: &Letter) -> (Fate, Option<String>) {
        let (pipeline, queue, message_id) =
            (&*self.pipeline, &*self.queue_url, &*letter.message.id().text());
        match unsent {
            None => (Fate::There, None),
            Some(Unsent { words, for_good: true }) => {
                tracing::warn!(
                    pipeline,
                    queue,
                    message_id,
                    "SQS takes no such dead letter: {words}. It is kept in data_dir, where `pelton dlq` \
                     finds it too"
                );
                (Fate::Refused, None)
            }
            Some(Unsent { words, .. }) => {
                if let Some(times) = self.unsent.again(1, Instant::now()) {
                    tracing::error!(
                        pipeline,
                        queue,
                        message_id,
                        times,
                        "a dead letter could not be written: {words}. Its message stays where it is, and \
                         the letter is tried again"
                    );
                }
                (Fate::Unsent, Some(words))
            }
        }
    }

    /// A letter as it is sent. One that would be too large has less of its reason; where even that does not
    /// fit, the queue cannot have it.
    fn outgoing<'l>(&self, letter: &'l Letter, now: u64) -> SqsMessage<'l> {
        let full = self.with_reason(letter, now, MAX_REASON);
        if excess(&full) == 0 { full } else { self.with_reason(letter, now, 0) }
    }

    fn with_reason<'l>(&self, letter: &'l Letter, now: u64, most_reason: usize) -> SqsMessage<'l> {
        let message = &letter.message;
        let mut more = vec![(LETTER, envelope(&self.pipeline, letter, now, most_reason))];
        // For people who look at the queue with other tools.
        more.push(("pelton-cause", letter.cause.as_str().to_owned()));
        let dedup_id = is_fifo(&self.queue_url).then(|| self.dedup_id(letter));
        // What has no key follows nobody; in one group with others, SQS would show only the first ten.
        let own_group =
            |dedup_id: &String| message.key().map_or_else(|| dedup_id.clone().into_bytes(), group);
        let message = Outgoing {
            key: dedup_id.as_ref().map(own_group).map(Into::into),
            headers: message.headers().to_vec().into(),
            ..Outgoing::of(message.body())
        };
        SqsMessage { message, dedup_id, more }
    }

    /// What the service knows the repetition of a letter by: the same whenever this letter is sent, since the
    /// answer to that may be lost; and another for each coming of its message, since that is no repetition.
    fn dedup_id(&self, letter: &Letter) -> String {
        let message = &letter.message;
        let of_coming = |h: &HeaderView<'_>| COMING.contains(&h.name);
        let coming: Vec<&[u8]> = message.headers().iter().filter(of_coming).map(|h| h.value).collect();
        let mut hasher = DefaultHasher::new();
        (message.id().text(), message.published_at_ms(), letter.attempts, &coming).hash(&mut hasher);
        if coming.is_empty() {
            // Not of SQS. A claim is of one coming, and its number of one process.
            let nameless = || self.nameless.fetch_add(1, Ordering::Relaxed);
            self.random.hash_one(letter.claim.ok_or_else(nameless)).hash(&mut hasher);
        }
        format!("{}-{:016x}", short_id(&message.id().text()), hasher.finish())
    }
}

/// Headers that differ each time that a message is sent to SQS, and stay when it is received again.
const COMING: [&str; 3] = ["sqs.sequence-number", "sqs.sent-timestamp", letter::REPLAY];

/// The group of a letter: its message's key, or a digest of one that is no group. The key itself is in what
/// is said of the letter.
fn group(key: &[u8]) -> Vec<u8> {
    if is_group(key) {
        return key.to_vec();
    }
    format!("pelton-{:016x}", hash_of(key)).into_bytes()
}

/// What of an id the service lets an id for deduplication have.
fn short_id(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(100).collect()
}

impl DeadLetters for SqsLetters {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let fates = self.send(&batch).await;
            fate::settle(&batch, fates, &*self.noted, &*self.otherwise).await
        })
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.told()
    }

    fn counted(&self) -> Counted {
        self.connection.requests().counted()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::ports::Claim;
    use pelton_core::{Header, HeaderList, Message, Parts};

    struct Nowhere;

    impl DeadLetters for Nowhere {
        fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
            Box::pin(async move { batch.iter().map(|_| Ok(())).collect() })
        }
    }

    fn letter(body: usize, reason: usize) -> Letter {
        let body = vec![b'x'; body];
        let message = Message::new(Parts { key: Some(b"g"), body: &body, ..Parts::named("m-1") });
        pelton_broker_common::testing::letter(message, &"y".repeat(reason))
    }

    fn letters() -> SqsLetters {
        let url = "http://localhost/0/letters.fifo";
        SqsLetters::new(
            "orders",
            url,
            Connection::usual(url, None, None),
            Arc::new(Nowhere),
            Arc::new(Nowhere),
        )
    }

    #[test]
    fn a_letter_has_less_of_its_reason_where_all_of_it_does_not_fit() {
        let all = [(100, 1_000), ((1 << 20) - 1_000, 1_000), ((1 << 20) - 100, 1_000)];
        let [full, brief, none] = all.map(|(body, reason)| letter(body, reason));
        let of = |letter| letters().outgoing(letter, 1);
        let said =
            |outgoing: &SqsMessage<'_>| outgoing.more.iter().map(|(_, text)| text.len()).sum::<usize>();
        assert!(said(&of(&full)) > 1_000);
        let brief = of(&brief);
        assert!((1..1_000).contains(&said(&brief)) && excess(&brief) == 0);
        assert!(excess(&of(&none)) > 0, "kept here");
    }

    #[test]
    fn a_letter_is_known_again_and_another_is_not_taken_for_it() {
        let letters = letters();
        let with = |name: &str| {
            let headers: HeaderList = [Header::new(name, "7")].iter().collect();
            let parts =
                Parts { headers: headers.view(), key: Some(b"g"), body: b"x", ..Parts::named("m-1") };
            letters.dedup_id(&Letter { message: Message::new(parts), ..letter(1, 1) })
        };
        let (received, sent) = (with("sqs.sequence-number"), with("sqs.sent-timestamp"));
        assert_eq!(received, with("sqs.sequence-number"));
        assert_ne!(with(letter::REPLAY), with("other"));
        assert_eq!(received, sent, "the same value");

        let claimed = |chunk| Letter { claim: Some(Claim { chunk, index: 0 }), ..letter(1, 1) };
        let id = |letter: &Letter| letters.dedup_id(letter);
        assert_eq!(id(&claimed(1)), id(&claimed(1)), "the answer may be lost");
        assert_ne!(id(&claimed(1)), id(&claimed(2)), "it came again");
        assert_ne!(id(&letter(1, 1)), id(&letter(1, 1)), "twice rather than never");
        let other_process = self::letters();
        assert_ne!(id(&claimed(1)), other_process.dedup_id(&claimed(1)));
    }
}
