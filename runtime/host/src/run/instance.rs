//! One instance of a component, and its calls.

use crate::guest::bindings::{Failure, Header, Message, many, one};
use crate::guest::limits::Refusal;
use crate::guest::output::{Output, PipelineLog};
use crate::guest::reason::REASON_BYTES;
use crate::guest::state::{self, State};
use crate::guest::text;
use crate::load::inspect::World;
use crate::run::control::Control;
use crate::run::room::Room;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;
use wasmtime::component::{self, InstancePre};
use wasmtime::{Engine, Store};

/// Ticks of the clock that a call may meet before it first has to yield.
const FIRST_TICKS: u64 = 2;

/// A component ready to be instantiated, by its world. Pipelines with the same component share it.
pub(crate) struct Template {
    linked: InstancePre<State>,
    exports: Indices,
}

/// Where the handler is among the exports.
pub(crate) enum Indices {
    One(one::HandlerIndices),
    Many(many::BatchIndices),
}

/// What is needed to make an instance.
pub(crate) struct Maker {
    pub(crate) engine: Engine,
    pub(crate) template: Arc<Template>,
    pub(crate) log: Arc<PipelineLog>,
    pub(crate) memory: usize,
    pub(crate) room: Arc<Room>,
    pub(crate) used: Arc<Used>,
}

/// The most memory that any instance of a handler has had, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Used(AtomicUsize);

/// A warm instance.
pub(crate) struct Instance {
    store: Store<State>,
    exports: Exports,
    output: Arc<Output>,
    used: Arc<Used>,
    /// Calls so far.
    pub(crate) calls: u32,
    /// When it was put aside.
    pub(crate) idle_since: Instant,
    // Last, so that the memory has been given back when the next one hears of it.
    _freed: Freed,
}

enum Exports {
    One(one::Handler),
    Many(many::Batch),
}

/// Tells whoever waits for room.
struct Freed(Arc<Room>);

/// Why there is no instance.
pub(crate) enum NotMade {
    /// It did not start.
    Start(wasmtime::Error, Option<Refusal>),
    /// Its handler has another signature.
    Type(wasmtime::Error),
}

impl Template {
    /// Finds the handler; its signature is compared when an instance is made.
    pub(crate) fn new(linked: InstancePre<State>, world: World) -> wasmtime::Result<Self> {
        let exports = match world {
            World::Message => Indices::One(one::HandlerIndices::new(&linked)?),
            World::Batch => Indices::Many(many::BatchIndices::new(&linked)?),
        };
        Ok(Self { linked, exports })
    }

    fn load(&self, store: &mut Store<State>, instance: &component::Instance) -> wasmtime::Result<Exports> {
        match &self.exports {
            Indices::One(indices) => indices.load(store, instance).map(Exports::One),
            Indices::Many(indices) => indices.load(store, instance).map(Exports::Many),
        }
    }
}

impl Maker {
    /// Makes an instance; runs what the component runs at its start.
    pub(crate) async fn make(&self, control: &Arc<Control>) -> Result<Instance, NotMade> {
        let mut store = state::store(&self.engine, &self.log, self.memory, Arc::clone(control));
        store.set_epoch_deadline(FIRST_TICKS);
        let instance = match self.template.linked.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => {
                store.data().output.end();
                return Err(NotMade::Start(error, store.data().limits.refused()));
            }
        };
        let exports = self.template.load(&mut store, &instance).map_err(NotMade::Type)?;
        Ok(Instance {
            output: Arc::clone(&store.data().output),
            store,
            exports,
            used: Arc::clone(&self.used),
            calls: 0,
            idle_since: Instant::now(),
            _freed: Freed(Arc::clone(&self.room)),
        })
    }

    /// Whether a call takes a whole batch.
    pub(crate) fn takes_batches(&self) -> bool {
        matches!(self.template.exports, Indices::Many(_))
    }
}

impl Instance {
    /// A chunk begins to use this instance.
    pub(crate) fn assign(&mut self, work: &Arc<[Work]>, control: &Arc<Control>) {
        self.output.assign(Arc::clone(work));
        self.store.data_mut().control = Arc::clone(control);
    }

    /// Calls the handler with the messages of `range`. An error leaves an instance that must be
    /// dropped.
    pub(crate) async fn call(&mut self, work: &[Work], range: Range<usize>) -> wasmtime::Result<Answers> {
        self.calls += 1;
        self.output.begin(range.start, range.len());
        self.store.set_epoch_deadline(FIRST_TICKS);
        self.store.data_mut().limits.forget();
        let answers = match &self.exports {
            Exports::One(handler) => {
                let handler = handler.pelton_handler_message_handler();
                let work = &work[range.start];
                let headers = headers(work);
                let answer = handler.call_handle(&mut self.store, message(work, &headers)).await?;
                Answers::One(answer)
            }
            Exports::Many(handler) => {
                let handler = handler.pelton_handler_batch_handler();
                let work = &work[range];
                let headers: Vec<Vec<Header<'_>>> = work.iter().map(headers).collect();
                let messages: Vec<Message<'_>> =
                    work.iter().zip(&headers).map(|(w, h)| message(w, h)).collect();
                Answers::Many(handler.call_handle_batch(&mut self.store, &messages).await?)
            }
        };
        self.output.end();
        Ok(answers)
    }

    /// The chunk has ended; its messages are not held until the next one.
    pub(crate) fn release(&mut self) {
        self.output.release();
        self.used.note(self.store.data().limits.memory());
        self.idle_since = Instant::now();
    }

    /// The growth that was refused to the last call.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.store.data().limits.refused()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.output.end();
        self.used.note(self.store.data().limits.memory());
    }
}

impl Used {
    fn note(&self, bytes: usize) {
        self.0.fetch_max(bytes, Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.freed();
    }
}

/// What a call answered.
pub(crate) enum Answers {
    One(Result<(), Failure>),
    Many(Vec<Result<(), Failure>>),
}

/// One answer as an outcome, with its text made safe and short.
pub(crate) fn outcome(answer: Result<(), Failure>) -> Outcome {
    match answer {
        Ok(()) => Outcome::Ok,
        Err(Failure::Retry(retry)) => {
            Outcome::Retry { reason: text::clean(&retry.reason, REASON_BYTES), after_ms: retry.after_ms }
        }
        Err(Failure::Reject(reason)) => Outcome::Reject { reason: text::clean(&reason, REASON_BYTES) },
    }
}

/// An empty list does not allocate, and most messages have few headers.
fn headers(work: &Work) -> Vec<Header<'_>> {
    let headers = work.message.headers.iter();
    headers.map(|header| Header { name: &header.name, value: &header.value }).collect()
}

fn message<'a>(work: &'a Work, headers: &'a [Header<'a>]) -> Message<'a> {
    let message = &*work.message;
    Message {
        id: &message.id,
        pipeline: &message.pipeline,
        origin: &message.origin,
        idempotency_key: &work.idempotency_key,
        key: message.key.as_deref(),
        headers,
        body: &message.body,
        attempt: work.attempt,
        published_at_ms: message.published_at_ms,
        replayed: message.replayed,
        tombstone: message.tombstone,
    }
}
