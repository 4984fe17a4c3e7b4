//! The way out: messages on their way to a broker, and who puts them there.

use super::books::BooksError;
use crate::header::Header;
use std::borrow::Cow;

/// A message on its way to a broker. Its parts are its own or borrowed: nothing is copied for being sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing<'m> {
    /// Its id, where it is not the broker's to give.
    pub id: Option<Cow<'m, str>>,
    /// The topic or queue that it goes to; what the pipeline reads, the first of several, when there is none.
    pub destination: Option<Cow<'m, str>>,
    /// Its partition there; by its key when there is none.
    pub partition: Option<i32>,
    /// Its ordering key.
    pub key: Option<Cow<'m, [u8]>>,
    /// Its headers.
    pub headers: Cow<'m, [Header]>,
    /// Its body; none for a tombstone, which is an empty body to brokers that have no such thing.
    pub body: Option<Cow<'m, [u8]>>,
    /// When it was published, in milliseconds since the epoch; now when there is none.
    pub published_at_ms: Option<u64>,
    /// Wait so long before the first delivery.
    pub delay_ms: Option<u64>,
    /// It comes back from a letter.
    pub replay: Option<ReplayMark<'m>>,
}

/// What is said of a message that comes back from its letter. Its `id` is the one that it had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayMark<'m> {
    /// What tells this replay from others: a letter comes back once, however often its message was one.
    pub name: Cow<'m, str>,
    /// What the ledger knows the message by, if that is not its id. Of use to the books only.
    pub ledger_key: Option<Cow<'m, [u8]>>,
}

impl<'m> Outgoing<'m> {
    /// One that is a body and nothing else.
    #[must_use]
    pub fn of(body: impl Into<Cow<'m, [u8]>>) -> Self {
        Self { body: Some(body.into()), ..Self::default() }
    }

    /// The same message, as long as this one is there.
    #[must_use]
    pub fn borrowed(&self) -> Outgoing<'_> {
        Outgoing {
            id: self.id.as_deref().map(Cow::Borrowed),
            destination: self.destination.as_deref().map(Cow::Borrowed),
            partition: self.partition,
            key: self.key.as_deref().map(Cow::Borrowed),
            headers: Cow::Borrowed(&self.headers),
            body: self.body.as_deref().map(Cow::Borrowed),
            published_at_ms: self.published_at_ms,
            delay_ms: self.delay_ms,
            replay: self.replay.as_ref().map(|replay| ReplayMark {
                name: Cow::Borrowed(&*replay.name),
                ledger_key: replay.ledger_key.as_deref().map(Cow::Borrowed),
            }),
        }
    }

    /// The bytes of its body; none of a tombstone's.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Without what marks it as a message that was there before: for one that leaves no room for the marks.
    /// It is another message to its pipeline.
    #[must_use]
    pub fn unmarked(&self) -> Outgoing<'_> {
        Outgoing { id: None, replay: None, published_at_ms: None, ..self.borrowed() }
    }
}

/// A message that a broker has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its id, or its place where the broker gives ids later; as it is shown.
    pub id: String,
    /// It left no room for what marks a replay, and is a new message to its pipeline.
    pub as_new: bool,
}

impl Sent {
    /// One that was sent as it is.
    #[must_use]
    pub fn as_it_is(id: impl Into<String>) -> Self {
        Self { id: id.into(), as_new: false }
    }
}

/// Why a broker has not taken a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// In words.
    pub words: String,
    /// It is refused for what it is, and would be each time.
    pub for_good: bool,
}

impl Unsent {
    /// For what it is.
    #[must_use]
    pub fn for_good(words: impl Into<String>) -> Self {
        Self { words: words.into(), for_good: true }
    }

    /// For what may pass: the broker is away or busy, or its answer was lost.
    #[must_use]
    pub fn for_now(words: impl Into<String>) -> Self {
        Self { words: words.into(), for_good: false }
    }

    /// By a pipeline's limit of a body.
    #[must_use]
    pub fn too_large(size: usize, max: usize) -> Self {
        Self::for_good(too_large(size, max))
    }
}

/// What to say of a body that is larger than its pipeline takes.
#[must_use]
pub fn too_large(size: usize, max: usize) -> String {
    format!(
        "the body has {size} bytes, and `max_message_bytes` is {max}: raise it, or send a reference to the \
         data instead"
    )
}

/// What became of a message.
pub type Published = Result<Sent, Unsent>;

/// Puts messages on what a pipeline reads. All of it blocks, and none of it runs on a thread of a runtime.
pub trait Publisher: Send {
    /// Sees that what it puts messages on is there: said once, and not for each of a million.
    ///
    /// # Errors
    /// It is not there, or the broker does not answer.
    fn check(&mut self) -> Result<(), Unsent>;

    /// Puts a batch there, in order, and waits until the broker has it: for each what became of it. One that
    /// is refused does not stop the others.
    ///
    /// # Errors
    /// The books have failed: nothing was sent.
    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError>;
}

impl dyn Publisher + '_ {
    /// The same for new messages of a pipeline that takes bodies of up to `max` bytes.
    ///
    /// # Errors
    /// The books have failed: nothing was sent.
    pub fn publish_fitting(
        &mut self,
        batch: &[Outgoing<'_>],
        max: usize,
    ) -> Result<Vec<Published>, BooksError> {
        let fits = |message: &&Outgoing<'_>| message.bytes().len() <= max;
        if batch.iter().all(|message| fits(&message)) {
            return self.publish(batch);
        }
        let fitting: Vec<Outgoing<'_>> = batch.iter().filter(fits).map(Outgoing::borrowed).collect();
        let mut sent = if fitting.is_empty() { Vec::new() } else { self.publish(&fitting)? }.into_iter();
        let result = |message: &Outgoing<'_>| match message.bytes().len() {
            size if size > max => Err(Unsent::too_large(size, max)),
            _ => sent.next().unwrap_or_else(|| Err(Unsent::for_now("nobody says whether it was sent"))),
        };
        Ok(batch.iter().map(result).collect())
    }
}

/// What of a message a broker cannot carry. Known before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncarried {
    /// It has no place for a part of it.
    ByBroker {
        /// What the broker is called: `Kafka`.
        broker: &'static str,
        /// What it does, to go on behind "which".
        does: &'static str,
    },
    /// It takes no such id: what it takes, to go on behind what was given.
    Id(&'static str),
    /// The message would wait for longer than anything of its pipeline may.
    Delay,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Refuses what begins with a minus, and tells the others' bodies.
    #[derive(Default)]
    struct Echo(usize);

    impl Publisher for Echo {
        fn check(&mut self) -> Result<(), Unsent> {
            Ok(())
        }

        fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
            self.0 += 1;
            let one = |message: &Outgoing<'_>| match message.bytes() {
                [b'-', ..] => Err(Unsent::for_now("no")),
                body => Ok(Sent::as_it_is(String::from_utf8_lossy(body))),
            };
            Ok(batch.iter().map(one).collect())
        }
    }

    #[test]
    fn what_is_too_large_is_refused_alone_and_nobody_is_asked_for_nothing() {
        let batch = ["abcd", "ab", "-a", "abcde", "c"].map(|body| Outgoing::of(body.as_bytes()));
        let mut echo = Echo::default();
        let told = (&mut echo as &mut dyn Publisher).publish_fitting(&batch, 3).unwrap();
        let told: Vec<Result<String, String>> =
            told.into_iter().map(|one| one.map(|sent| sent.id).map_err(|why| why.words)).collect();
        let large = |size| Err(too_large(size, 3));
        assert_eq!(told, [large(4), Ok("ab".into()), Err("no".into()), large(5), Ok("c".into())]);
        let told = (&mut echo as &mut dyn Publisher).publish_fitting(&batch[..1], 3).unwrap();
        assert_eq!((told.len(), echo.0), (1, 1));
    }

    #[test]
    fn an_unmarked_message_is_the_same_without_its_past() {
        let replay = ReplayMark { name: "orders/3/9".into(), ledger_key: None };
        let marked = Outgoing {
            id: Some("m".into()),
            key: Some(b"k"[..].into()),
            published_at_ms: Some(7),
            replay: Some(replay),
            ..Outgoing::of(&b"x"[..])
        };
        assert_eq!(marked.borrowed(), marked);
        let plain = Outgoing { key: Some(b"k"[..].into()), ..Outgoing::of(&b"x"[..]) };
        assert_eq!(marked.unmarked(), plain);
    }
}
