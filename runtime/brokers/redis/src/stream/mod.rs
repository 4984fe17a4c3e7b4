//! A stream, read as a member of its consumer group.
//!
//! One task reads, one acknowledges and renews, one tidies; each has a connection of its own. The idle time
//! of a pending entry is its lease. The rules are those of the server's command reference.

mod ack;
mod consumer_name;
mod group;
mod ids;
mod maintenance;
mod newest;
mod options;
mod read;
mod replay;

pub use consumer_name::live;
pub use options::{Completed, StreamOptions};
pub use replay::{ReplayOptions, StreamReplay};

use super::ack_writer;
use super::fault::Fault;
use super::fields::EntryId;
use super::in_flight::{InFlightTable, ServerPosition};
use super::server::{ANSWER, Server};
use super::shared::{SourceShared, lock};
use pelton_core::ports::{BoxFuture, Capabilities, Counted, Depth, ErrorClass, Lag, Scope, Settle, Source};
use pelton_core::{Channel, Delivery, Message, Panicked, Receipt};
use redis::aio::MultiplexedConnection;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the server may take for what is given back at the end.
const LEAVE: Duration = Duration::from_secs(8);
const ASKING: &str = "asking how much is left";

/// What the tasks of one source share.
struct Stream {
    options: StreamOptions,
    shared: SourceShared,
    /// What its messages come through.
    channel: Arc<Channel>,
    ids: ids::Ids,
    last_seen: Mutex<EntryId>,
    /// The group is there.
    joined: watch::Sender<bool>,
    /// No other worker read by this one's name when it began: the name is in use here.
    named: AtomicBool,
}

impl Stream {
    /// The newest entry that this worker knows of.
    fn last_seen(&self) -> EntryId {
        *lock(&self.last_seen)
    }

    fn seen(&self, id: EntryId) {
        let mut last = lock(&self.last_seen);
        *last = id.max(*last);
    }

    fn forget_seen(&self, last: EntryId) {
        *lock(&self.last_seen) = last;
    }
}

/// A stream, as a source.
pub struct RedisStream {
    stream: Arc<Stream>,
    /// For questions; none until one was asked.
    side: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RedisStream {
    /// Begins to read. Returns at once: a server that is away is logged and tried again for ever. Within a
    /// tokio runtime.
    #[must_use]
    pub fn open(options: StreamOptions, server: Server) -> Self {
        let shelf = InFlightTable::new(options.lease(), options.at_least, options.at_most);
        let (jobs, asked) = unbounded_channel();
        let shared =
            SourceShared::new(options.pipeline.clone(), options.stream.clone(), server, shelf, jobs);
        let stream = Arc::new(Stream {
            channel: Arc::new(Channel::new(&options.pipeline, &options.stream)),
            options,
            shared,
            ids: ids::Ids::default(),
            last_seen: Mutex::default(),
            joined: watch::Sender::new(false),
            named: AtomicBool::new(false),
        });
        let fuse = &stream.shared.fuse;
        let tasks = vec![
            fuse.spawn("the task that reads a stream", read::run(stream.clone())),
            fuse.spawn("the task that acknowledges", ack_writer::run(stream.clone(), asked)),
            fuse.spawn("the task that looks after a stream", maintenance::run(stream.clone())),
        ];
        Self { stream, side: tokio::sync::Mutex::new(None), tasks: Mutex::new(tasks) }
    }

    async fn unsettled(&self) -> Result<u64, Fault> {
        self.stands().await.map(|depth| depth.unsettled)
    }

    async fn stands(&self) -> Result<Depth, Fault> {
        // Before there is a group nobody can say what it has to do.
        let mut joined = self.stream.joined.subscribe();
        let waited =
            tokio::time::timeout(ANSWER, async { joined.wait_for(|joined| *joined).await.is_ok() });
        if waited.await != Ok(true) {
            return Err(Fault::says("the group could not be made yet"));
        }
        let mut side = self.side.lock().await;
        let mut open = match side.take() {
            Some(open) => open,
            None => self.stream.shared.server.connect(ANSWER).await?,
        };
        let (stream, group) = (&self.stream.options.stream, &self.stream.options.group);
        let facts = super::facts::group(&mut open, stream, group).await?;
        let Some(facts) = facts else {
            *side = Some(open);
            return Ok(Depth::default());
        };
        let oldest_at_ms = super::facts::oldest_ms(&mut open, stream, group, &facts).await?;
        *side = Some(open);
        Ok(Depth { unsettled: facts.unsettled(), oldest_at_ms })
    }

    async fn leave(&self, tasks: Vec<JoinHandle<()>>) {
        let mut tasks = tasks.into_iter();
        if let Some(reader) = tasks.next() {
            drop(reader.await);
        }
        // Without anybody who may ask, what is left is done, and the task ends.
        self.stream.shared.dismiss();
        for task in tasks {
            drop(task.await);
        }
        let (now, held) = (Instant::now(), self.stream.shared.shelf().take_all());
        if held.is_empty()
            && let Err(fault) = consumer_name::leave(&self.stream).await
        {
            tracing::debug!("the name stays in the group: {fault}");
        }
        // What may be another's already is left alone.
        let places: Vec<ServerPosition> =
            held.iter().filter(|held| held.until > now).map(|held| held.place).collect();
        if !places.is_empty()
            && let Err(fault) = ack::release(&self.stream, &places).await
        {
            tracing::warn!(
                pipeline = %self.stream.shared.pipeline,
                "Redis: giving back failed: {fault}; what was not started is taken over when it has been \
                 idle for {:?}",
                self.stream.options.claim_min_idle
            );
        }
    }
}

impl Source for RedisStream {
    fn capabilities(&self) -> Capabilities {
        let lease = self.stream.options.lease().as_millis();
        Capabilities {
            lease_ms: Some(u64::try_from(lease).unwrap_or(u64::MAX)),
            native_delay: false,
            lane_order: false,
            cumulative: false,
            shares_ledger: false,
        }
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move { Ok(self.stream.shared.receive(max, max_bytes).await) })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(self.stream.shared.settle(batch).done())
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(self.stream.shared.extend(batch).done())
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        Box::pin(async move {
            let unsettled = self.unsettled().await;
            self.stream.shared.came_to(ASKING, unsettled).map(|unsettled| Lag { unsettled })
        })
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, ErrorClass>> {
        Box::pin(async move { self.stream.shared.came_to(ASKING, self.stands().await) })
    }

    fn holds(&self, waiting: usize, _unwanted: &[u32]) {
        self.stream.shared.shelf().waits_there(waiting);
        self.stream.shared.room.notify_one();
    }

    fn wants(&self, most: usize) {
        self.stream.shared.shelf().wants(most);
        self.stream.shared.room.notify_one();
    }

    fn scope(&self, _message: &Message) -> Scope {
        self.stream.shared.scope.clone()
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(self.stream.shared.fuse.blown())
    }

    fn trouble(&self) -> Option<String> {
        self.stream.shared.in_words()
    }

    fn counted(&self) -> Counted {
        vec![("lost_upstream", self.stream.shared.lost()), ("taken_over", self.stream.shared.taken_over())]
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.stream.shared.end();
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        Box::pin(async move {
            if tokio::time::timeout(LEAVE, self.leave(tasks)).await.is_err() {
                tracing::warn!(
                    pipeline = %self.stream.shared.pipeline,
                    "Redis has not answered for {LEAVE:?}: what was not given back comes again when it has \
                     been idle for {:?}",
                    self.stream.options.claim_min_idle
                );
            }
        })
    }
}

impl Drop for RedisStream {
    fn drop(&mut self) {
        lock(&self.tasks).iter().for_each(JoinHandle::abort);
    }
}
