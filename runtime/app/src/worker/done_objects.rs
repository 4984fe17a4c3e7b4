//! Objects that are deleted when the message that points to them is handled: never before it is acknowledged,
//! and never one of a letter.

use crate::config::PipelineConfig;
use pelton_core::ports::{
    BoxFuture, Capabilities, Counted, DeadLetters, ErrorClass, Handler, Lag, PartitionStatus, Report,
    Revocation, Scope, Settle, Source, Work,
};
use pelton_core::{Delivery, Letter, Message, Panicked, Receipt};
use pelton_decode::{ObjectStore, Pointer};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Objects that wait to be deleted.
const MOST: usize = 10_000;
/// How often a deletion is tried, and the wait between.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_secs(1);

/// The ports of a pipeline.
type ListenedPorts = (Arc<dyn Source>, Arc<dyn DeadLetters>, Arc<dyn Handler>);

/// The same ports, which delete what is done with where that is wanted. Within the runtime.
pub fn deleting(
    pipeline: &PipelineConfig,
    store: Option<&Arc<dyn ObjectStore>>,
    ports: ListenedPorts,
) -> ListenedPorts {
    let wanted = pipeline.decode.objects.as_ref().is_some_and(|objects| objects.delete);
    let Some(store) = store.filter(|_| wanted) else { return ports };
    let done = DoneObjects::new(store.clone(), &pipeline.name);
    let (source, letters, handler) = ports;
    (done.source(source), done.letters(letters), done.handler(handler))
}

/// What is known of the messages of one pipeline that point to objects.
#[derive(Clone)]
struct DoneObjects(Arc<Objects>);

struct Objects {
    held: Mutex<Held>,
    delete: Sender<Pointer>,
    left: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// By the id of the message.
    objects: HashMap<String, Object>,
    ids: HashMap<Receipt, String>,
}

struct Object {
    pointer: Pointer,
    /// Its handler's last word was that it is handled.
    handled: bool,
}

impl DoneObjects {
    /// Begins to delete what it is told. Within the runtime.
    fn new(store: Arc<dyn ObjectStore>, pipeline: &str) -> Self {
        let (delete, deleted) = channel(MOST);
        let shared = Arc::new(Objects { held: Mutex::default(), delete, left: AtomicU64::new(0) });
        drop(tokio::spawn(delete_all(store, deleted, Arc::downgrade(&shared), pipeline.to_owned())));
        Self(shared)
    }

    fn source(&self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        Arc::new(Watched { inner: source, done: self.clone() })
    }

    fn handler(&self, handler: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Watched { inner: handler, done: self.clone() })
    }

    fn letters(&self, letters: Arc<dyn DeadLetters>) -> Arc<dyn DeadLetters> {
        Arc::new(Watched { inner: letters, done: self.clone() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let Some(pointer) = Pointer::of(&delivery.message) else { continue };
            let id = delivery.message.id().to_string();
            let mut held = self.held();
            if held.objects.len() >= MOST {
                // Those whose lease ended without a word; what is still to come of them stays.
                held.objects.clear();
                held.ids.clear();
            }
            held.ids.insert(delivery.receipt, id.clone());
            held.objects.entry(id).or_insert(Object { pointer, handled: false });
        }
    }

    fn came_to(&self, message: &Message, handled: bool) {
        let mut held = self.held();
        if held.objects.is_empty() {
            return;
        }
        if let Some(object) = held.objects.get_mut(&*message.id().text()) {
            object.handled = handled;
        }
    }

    fn settled(&self, receipt: Receipt, is_done: bool) {
        let mut held = self.held();
        let Some(id) = held.ids.remove(&receipt) else { return };
        if !is_done {
            return;
        }
        let object = held.objects.remove(&id).filter(|object| object.handled);
        if let Some(Object { pointer, .. }) = object
            && self.0.delete.try_send(pointer).is_err()
        {
            self.0.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Deletes one after another, until nobody asks any more.
async fn delete_all(
    store: Arc<dyn ObjectStore>,
    mut wanted: Receiver<Pointer>,
    shared: std::sync::Weak<Objects>,
    pipeline: String,
) {
    while let Some(pointer) = wanted.recv().await {
        let mut result = Ok(());
        for number in 0..TRIES {
            if number > 0 {
                tokio::time::sleep(WAIT).await;
            }
            result = store.delete(pointer.clone()).await;
            if result.is_ok() {
                break;
            }
        }
        if let Err(why) = result
            && let Some(shared) = shared.upgrade()
            && shared.left.fetch_add(1, Ordering::Relaxed) == 0
        {
            let object = pointer.describe();
            tracing::warn!(
                pipeline,
                object,
                "an object of a handled message stays, since it cannot be deleted: {why}; `objects_left` \
                 counts them"
            );
        }
    }
}

/// A port that is listened to.
struct Watched<P: ?Sized> {
    done: DoneObjects,
    inner: Arc<P>,
}

impl Handler for Watched<dyn Handler> {
    fn digest(&self) -> Arc<str> {
        self.inner.digest()
    }

    fn max_chunk(&self) -> usize {
        self.inner.max_chunk()
    }

    fn chunk_us(&self) -> u64 {
        self.inner.chunk_us()
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let messages: Vec<Message> = work.iter().map(|work| work.message.clone()).collect();
        let done = self.done.clone();
        let noting: Report = Box::new(move |digest, outcomes| {
            for (place, outcome) in &outcomes {
                if let Some(message) = messages.get(*place) {
                    done.came_to(message, outcome.is_ok());
                }
            }
            report(digest, outcomes);
        });
        self.inner.handle(work, noting)
    }

    fn interrupt(&self) {
        self.inner.interrupt();
    }

    fn refused(&self) -> u64 {
        self.inner.refused()
    }

    fn isolated_handle(&self) -> Option<Arc<dyn Handler>> {
        self.inner.isolated_handle()
    }
}

impl DeadLetters for Watched<dyn DeadLetters> {
    /// Whatever its handler has said: what it points to belongs to the letter from now on.
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        batch.iter().for_each(|letter| self.done.came_to(&letter.message, false));
        self.inner.publish(batch)
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.inner.panicked()
    }

    fn counted(&self) -> Counted {
        self.inner.counted()
    }

    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }
}

impl Source for Watched<dyn Source> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move {
            let received = self.inner.receive(max, max_bytes).await;
            received.inspect(|deliveries| self.done.received(deliveries))
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let asked = batch.clone();
            let results = self.inner.settle(batch).await;
            for ((receipt, how), result) in asked.into_iter().zip(&results) {
                self.done.settled(receipt, how == Settle::Ack && result.is_ok());
            }
            results
        })
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.inner.extend(batch)
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        self.inner.lag()
    }

    fn revoked(&self) -> BoxFuture<'_, Revocation> {
        self.inner.revoked()
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.inner.panicked()
    }

    fn scope(&self, message: &Message) -> Scope {
        self.inner.scope(message)
    }

    fn partition_status(&self) -> Vec<PartitionStatus> {
        self.inner.partition_status()
    }

    fn counted(&self) -> Counted {
        let mut all = self.inner.counted();
        all.push(("objects_left", self.done.0.left.load(Ordering::Relaxed)));
        all
    }

    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }

    fn holds(&self, waiting: usize, unwanted: &[u32]) {
        self.inner.holds(waiting, unwanted);
    }

    fn let_go(&self, partitions: Vec<u32>) {
        self.inner.let_go(partitions);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
