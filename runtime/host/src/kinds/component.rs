//! Components that export a handler of our contract: the usual kind.

use crate::guest::bindings::{Failure, Header, Message, many, one};
use crate::guest::output::Output;
use crate::guest::state::{self, About, GuestState};
use crate::kinds::kind::HandlerKind;
use crate::kinds::{Answers, Handles, NotMade, Setting};
use crate::run::clock::FIRST_TICKS;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use std::fmt::{Display, Write as _};
use std::ops::Range;
use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

/// Where the handler is among the exports.
pub(crate) enum Indices {
    One(one::HandlerIndices),
    Many(many::BatchIndices),
}

/// An instance.
pub(crate) struct Component {
    store: Store<GuestState>,
    exports: Exports,
    texts: Texts,
}

/// The texts of the messages of a call that are made to be read, one behind the other. Kept for the next
/// call.
#[derive(Default)]
struct Texts {
    all: String,
}

/// Where in them a message's id and its idempotency key are.
struct TextRanges {
    id: Range<usize>,
    key: Range<usize>,
}

enum Exports {
    One(one::Handler),
    Many(many::Batch),
}

impl Indices {
    /// Finds the handler; its signature is compared when an instance is made.
    pub(crate) fn new(linked: &InstancePre<GuestState>, kind: HandlerKind) -> Result<Self> {
        Ok(match kind {
            HandlerKind::Batch => Self::Many(many::BatchIndices::new(linked)?),
            _ => Self::One(one::HandlerIndices::new(linked)?),
        })
    }

    pub(crate) fn takes_batches(&self) -> bool {
        matches!(self, Self::Many(_))
    }
}

impl Component {
    /// Makes an instance; runs what the component runs at its start.
    pub(crate) async fn make(
        setting: &Setting,
        about: &About,
        linked: &InstancePre<GuestState>,
        indices: &Indices,
    ) -> std::result::Result<Self, NotMade> {
        let mut store = state::store(setting, about.clone(), None);
        store.set_epoch_deadline(FIRST_TICKS);
        let instance = linked.instantiate_async(&mut store).await.map_err(NotMade::Start)?;
        let exports = match indices {
            Indices::One(indices) => indices.load(&mut store, &instance).map(Exports::One),
            Indices::Many(indices) => indices.load(&mut store, &instance).map(Exports::Many),
        };
        Ok(Self { exports: exports.map_err(NotMade::Type)?, store, texts: Texts::default() })
    }
}

impl Texts {
    fn of(&mut self, work: &Work) -> TextRanges {
        let key = self.write(work.idempotency_key());
        // Without a key of its own it ends with the id.
        let id = match work.key {
            Some(_) => self.write(work.message.id()),
            None => key.start + work.message.pipeline().len() + 1..key.end,
        };
        TextRanges { id, key }
    }

    fn write(&mut self, text: impl Display) -> Range<usize> {
        let start = self.all.len();
        // A string takes all there is.
        write!(self.all, "{text}").unwrap_or_default();
        start..self.all.len()
    }

    /// The id and the idempotency key.
    fn get(&self, place: TextRanges) -> (&str, &str) {
        let of = |range| self.all.get(range).unwrap_or_default();
        (of(place.id), of(place.key))
    }
}

impl Handles for Component {
    async fn call(&mut self, work: &[Work]) -> Result<Answers> {
        self.store.set_epoch_deadline(FIRST_TICKS);
        self.store.data_mut().release_staged()?;
        self.texts.all.clear();
        match (&self.exports, work) {
            (Exports::One(handler), [work, ..]) => {
                let handler = handler.pelton_handler_message_handler();
                let (headers, text) = (headers(work), self.texts.of(work));
                let message = message(work, &headers, self.texts.get(text));
                let answer = handler.call_handle(&mut self.store, message).await?;
                Ok(Answers::One(outcome(answer, &self.store.data().about.output)))
            }
            (Exports::One(_), []) => Ok(Answers::Many(Vec::new())),
            (Exports::Many(handler), work) => {
                let handler = handler.pelton_handler_batch_handler();
                let headers: Vec<Vec<Header<'_>>> = work.iter().map(headers).collect();
                let texts: Vec<TextRanges> = work.iter().map(|work| self.texts.of(work)).collect();
                let all = work.iter().zip(&headers).zip(texts);
                let messages: Vec<Message<'_>> =
                    all.map(|((w, h), place)| message(w, h, self.texts.get(place))).collect();
                let answers = handler.call_handle_batch(&mut self.store, &messages).await?;
                let output = &self.store.data().about.output;
                Ok(Answers::Many(answers.into_iter().map(|answer| outcome(answer, output)).collect()))
            }
        }
    }
}

/// One answer as an outcome, with its text made safe and short.
fn outcome(answer: std::result::Result<(), Failure>, output: &Output) -> Outcome {
    match answer {
        Ok(()) => Outcome::Ok(None),
        Err(Failure::Retry(retry)) => {
            Outcome::Retry { reason: output.reason(&retry.reason), after_ms: retry.after_ms }
        }
        Err(Failure::Reject(reason)) => Outcome::Reject { reason: output.reason(&reason) },
    }
}

/// An empty list does not allocate, and most messages have few headers.
fn headers(work: &Work) -> Vec<Header<'_>> {
    let headers = work.message.headers().iter();
    headers.map(|header| Header { name: header.name, value: header.value }).collect()
}

fn message<'a>(work: &'a Work, headers: &'a [Header<'a>], (id, key): (&'a str, &'a str)) -> Message<'a> {
    let message = &work.message;
    Message {
        id,
        pipeline: message.pipeline(),
        origin: message.origin(),
        idempotency_key: key,
        key: message.key(),
        headers,
        body: message.body(),
        attempt: work.attempt,
        published_at_ms: message.published_at_ms(),
        replayed: message.replayed(),
        tombstone: message.tombstone(),
    }
}
