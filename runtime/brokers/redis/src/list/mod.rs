//! A list. Messages are moved into a list of the worker's own before they are handled, and removed from
//! there when they are done with.
//!
//! A worker is alive while its key is there; the list of one that is gone is taken over, before anything
//! newer. Items are numbered when they are taken: a list knows no ids, and equal bodies are two messages.

pub(super) mod item;
mod options;
mod read;
mod scripts;

pub use options::{End, Keys, ListOptions};

use super::ack_writer::{self, Broker};
use super::fault::Fault;
use super::in_flight::{Held, InFlightTable, ServerPosition};
use super::number::{Count, count};
use super::server::{ANSWER, Server};
use super::shared::{SourceShared, lock};
use super::task::{self, Task};
use pelton_core::ports::{BoxFuture, Capabilities, Counted, ErrorClass, Lag, Scope, Settle, Source};
use pelton_core::{Channel, Delivery, Message, Panicked, Receipt};
use redis::aio::MultiplexedConnection;
use scripts::{GIVE_BACK, HEARTBEAT_INTERVAL, LEAVE};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

/// How long the server may take for what is given back at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);
/// What is popped for good is ours for as long as it takes.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);
const ASKING: &str = "asking how much is left";
const BEATING: &str = "giving a sign of life";

/// What the tasks of one source share.
struct List {
    options: ListOptions,
    keys: Keys,
    shared: SourceShared,
    /// What its messages come through.
    channel: Arc<Channel>,
    /// This process, among all that ever had the worker's name.
    incarnation: String,
    /// The same as a number, and as much of it as fits beside a count.
    process: u64,
    number: u64,
    /// At most once: messages may be on their way here, gone at the server and not on the shelf yet.
    popping: AtomicBool,
}

impl List {
    fn lease(&self) -> Duration {
        if self.options.at_most_once { FOR_EVER } else { self.options.lease() }
    }

    /// At most once: what the server does not count any more, since it has given it away. Asked after the
    /// server, and before the shelf: what is popped in between was still counted there, or is here.
    fn popped(&self) -> u64 {
        if !self.options.at_most_once {
            return 0;
        }
        let coming = u64::from(self.popping.load(Ordering::Acquire));
        coming + count(self.shared.shelf().len())
    }

    fn pop(&self) -> &'static str {
        match self.options.pop {
            End::Left => "LPOP",
            End::Right => "RPOP",
        }
    }

    /// What puts a body where it is taken next.
    fn push(&self) -> &'static str {
        match self.options.pop {
            End::Left => "LPUSH",
            End::Right => "RPUSH",
        }
    }

    /// A sign of life; whether everything that is held is still ours.
    async fn beat(&self, connection: &mut MultiplexedConnection) -> Result<bool, Fault> {
        let asked = Instant::now();
        let mut call = HEARTBEAT_INTERVAL.prepare_invoke();
        call.key(self.keys.alive(&self.options.worker)).key(self.keys.workers());
        call.arg(&self.incarnation).arg(self.options.alive_ms()).arg(&self.options.worker).arg(0);
        let ours = call.invoke_async::<Count>(connection).await? == Count(1);
        if ours {
            self.shared.shelf().renew_waiting(asked, asked + self.options.lease());
        }
        Ok(ours)
    }
}

impl Broker for List {
    fn shared(&self) -> &SourceShared {
        &self.shared
    }

    async fn ack(&self, connection: &mut MultiplexedConnection, messages: &[Held]) -> Result<(), Fault> {
        if self.options.at_most_once {
            return Ok(());
        }
        let processing = self.keys.processing(&self.options.worker);
        let mut pipe = redis::pipe();
        for held in messages {
            pipe.cmd("LREM")
                .arg(&processing)
                .arg(1)
                .arg(item::of(held.place, held.message.body()))
                .ignore();
        }
        Ok(pipe.query_async::<()>(connection).await?)
    }

    async fn renew(
        &self,
        connection: &mut MultiplexedConnection,
        places: &[ServerPosition],
    ) -> Result<Vec<ServerPosition>, Fault> {
        let asked = Instant::now();
        let ours = self.options.at_most_once || self.beat(connection).await?;
        let mut shelf = self.shared.shelf();
        if ours {
            places.iter().for_each(|place| shelf.renewed(*place, asked + self.lease()));
            return Ok(Vec::new());
        }
        // Whoever asks is told that they are lost, and drops them: what is still in the processing list has
        // to be read from there again.
        places.iter().for_each(|place| shelf.lost(*place));
        Ok(places.to_vec())
    }
}

/// Gives signs of life.
struct Beat(Arc<List>);

impl Task for Beat {
    const DOING: &'static str = BEATING;

    fn shared(&self) -> &SourceShared {
        &self.0.shared
    }

    async fn attach(&mut self) -> Result<MultiplexedConnection, Fault> {
        self.0.shared.server.connect(ANSWER).await
    }

    async fn turn(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        self.0.beat(connection).await?;
        self.0.shared.works(BEATING);
        self.0.shared.pause(self.0.options.interval()).await;
        Ok(())
    }

    fn longest_pause(&self) -> Duration {
        self.0.options.interval()
    }
}

/// A list, as a source.
pub struct RedisList {
    list: Arc<List>,
    /// For questions; none until one was asked.
    side: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RedisList {
    /// Begins to read. Returns at once: a server that is away is logged and tried again for ever. Within a
    /// tokio runtime.
    ///
    /// # Errors
    /// When the list's name is of no use, in words.
    pub fn open(options: ListOptions, server: Server) -> Result<Self, String> {
        let keys = Keys::of(&options.list)?;
        let lease = if options.at_most_once { Duration::from_secs(30) } else { options.lease() };
        let (jobs, asked) = unbounded_channel();
        let shelf = InFlightTable::new(lease, options.at_least, options.at_most);
        let shared = SourceShared::new(options.pipeline.clone(), options.list.clone(), server, shelf, jobs);
        let random = RandomState::new().hash_one(&options.worker);
        let at_most_once = options.at_most_once;
        let list = Arc::new(List {
            keys,
            shared,
            channel: Arc::new(Channel::new(&options.pipeline, &options.list)),
            incarnation: format!("{}-{random:016x}", std::process::id()),
            process: random,
            // Twenty bits: the server counts in numbers of 53.
            number: random & 0xf_ffff,
            popping: AtomicBool::new(false),
            options,
        });
        let fuse = &list.shared.fuse;
        let mut tasks = vec![
            fuse.spawn("the task that reads a list", read::run(list.clone())),
            fuse.spawn("the task that acknowledges", ack_writer::run(list.clone(), asked)),
        ];
        if !at_most_once {
            tasks.push(fuse.spawn("the task that gives signs of life", task::run(Beat(list.clone()))));
        }
        Ok(Self { list, side: tokio::sync::Mutex::new(None), tasks: Mutex::new(tasks) })
    }

    async fn unsettled(&self) -> Result<u64, Fault> {
        let mut side = self.side.lock().await;
        let mut open = match side.take() {
            Some(open) => open,
            None => self.list.shared.server.connect(ANSWER).await?,
        };
        let facts = super::facts::list(&mut open, &self.list.options.list, &self.list.keys).await?;
        *side = Some(open);
        // What others have is waited for too: when one of them dies, it comes here.
        Ok(facts.unsettled().saturating_add(self.list.popped()))
    }

    async fn leave(&self, tasks: Vec<JoinHandle<()>>) {
        let mut tasks = tasks.into_iter();
        if let Some(reader) = tasks.next() {
            drop(reader.await);
        }
        self.list.shared.dismiss();
        for task in tasks {
            drop(task.await);
        }
        if let Err(fault) = self.give_back().await {
            tracing::warn!(
                pipeline = %self.list.shared.pipeline,
                "Redis: giving back failed: {fault}; what was not started is taken over in {:?}",
                self.list.options.takeover_after
            );
        }
    }

    /// Gives the name free, so that what is in the processing list may be taken over at once. What was
    /// popped for good goes back to where it is taken next.
    async fn give_back(&self) -> Result<(), Fault> {
        let options = &self.list.options;
        let mut connection = self.list.shared.server.connect(ANSWER).await?;
        if !options.at_most_once {
            let mut call = LEAVE.prepare_invoke();
            call.key(self.list.keys.alive(&options.worker)).arg(&self.list.incarnation);
            return Ok(call.invoke_async::<()>(&mut connection).await?);
        }
        let untaken = self.list.shared.shelf().untaken();
        if untaken.is_empty() {
            return Ok(());
        }
        let mut call = GIVE_BACK.prepare_invoke();
        call.key(&options.list).arg(self.list.push());
        for held in untaken.iter().rev() {
            call.arg(held.message.body());
        }
        Ok(call.invoke_async::<()>(&mut connection).await?)
    }
}

impl Source for RedisList {
    fn capabilities(&self) -> Capabilities {
        let lease = self.list.options.lease().as_millis();
        let lease_ms = (!self.list.options.at_most_once).then(|| u64::try_from(lease).unwrap_or(u64::MAX));
        Capabilities {
            lease_ms,
            native_delay: false,
            lane_order: false,
            cumulative: false,
            shares_ledger: false,
        }
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move { Ok(self.list.shared.receive(max, max_bytes).await) })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(self.list.shared.settle(batch).done())
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(self.list.shared.extend(batch).done())
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        Box::pin(async move {
            let unsettled = self.unsettled().await;
            self.list.shared.came_to(ASKING, unsettled).map(|unsettled| Lag { unsettled })
        })
    }

    fn holds(&self, waiting: usize, _unwanted: &[u32]) {
        // In the order of the list all waits for the first: nobody would go on by it that more was here.
        if !self.list.options.ordered {
            self.list.shared.shelf().waits_there(waiting);
            self.list.shared.room.notify_one();
        }
    }

    fn wants(&self, most: usize) {
        self.list.shared.shelf().wants(most);
        self.list.shared.room.notify_one();
    }

    fn scope(&self, _message: &Message) -> Scope {
        self.list.shared.scope.clone()
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(self.list.shared.fuse.blown())
    }

    fn trouble(&self) -> Option<String> {
        self.list.shared.in_words()
    }

    fn counted(&self) -> Counted {
        vec![("taken_over", self.list.shared.taken_over())]
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.list.shared.end();
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        Box::pin(async move {
            if tokio::time::timeout(CLOSE_TIMEOUT, self.leave(tasks)).await.is_err() {
                tracing::warn!(
                    pipeline = %self.list.shared.pipeline,
                    "Redis has not answered for {CLOSE_TIMEOUT:?}: what was not given back is taken over in \
                     {:?}",
                    self.list.options.takeover_after
                );
            }
        })
    }
}

impl Drop for RedisList {
    fn drop(&mut self) {
        lock(&self.tasks).iter().for_each(JoinHandle::abort);
    }
}
