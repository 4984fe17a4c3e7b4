//! What the tasks of one source share.

use super::ack_writer::{Job, What};
use super::fault::Fault;
use super::in_flight::InFlightTable;
use super::number;
use super::server::Server;
use pelton_broker_common::fuse::Fuse;
use pelton_broker_common::log_throttle::KindThrottle;
use pelton_core::ports::{ErrorClass, Scope, Settle};
use pelton_core::{Delivery, Receipt};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};

/// Between two reads that bring next to nothing.
const READ_INTERVAL: Duration = Duration::from_millis(2);

pub struct SourceShared {
    pub pipeline: Arc<str>,
    /// The stream or list.
    pub key: String,
    pub server: Server,
    /// What numbers its messages.
    pub scope: Scope,
    /// What a panic of a task blows.
    pub fuse: Arc<Fuse>,
    shelf: Mutex<InFlightTable>,
    /// There is something to receive, or the source is closing.
    pub arrived: Notify,
    /// There is room for more, or the source is closing.
    pub room: Notify,
    /// Ends the waits of all tasks.
    ended: Notify,
    closing: AtomicBool,
    trouble: Mutex<Trouble>,
    /// By what was done, and of which kind the fault is.
    said: KindThrottle<(&'static str, Cow<'static, str>)>,
    /// Messages that the server had and has no more, though nobody has handled them.
    lost: AtomicU64,
    taken_over: AtomicU64,
    /// None once the source is closed.
    jobs: Mutex<Option<UnboundedSender<Job>>>,
    /// When leases of what waits here were looked at.
    looked: Mutex<Instant>,
}

/// What a batch will come to: what is known of each already, and the answers for the others, in their order.
pub struct Begun {
    known: Vec<Option<Result<(), ErrorClass>>>,
    asked: Option<oneshot::Receiver<Vec<Result<(), ErrorClass>>>>,
}

impl Begun {
    /// Waits for all of them.
    pub async fn done(self) -> Vec<Result<(), ErrorClass>> {
        let mut answers = match self.asked {
            Some(asked) => asked.await.unwrap_or_default(),
            None => Vec::new(),
        }
        .into_iter();
        // Without an answer nobody is there any more to say.
        let mut next = || answers.next().unwrap_or(Err(ErrorClass::Transient));
        self.known.into_iter().map(|known| known.unwrap_or_else(&mut next)).collect()
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Trouble {
    /// What is wrong now, by the task that says so.
    now: Vec<(&'static str, String)>,
}

impl SourceShared {
    pub fn new(
        pipeline: Arc<str>,
        key: String,
        server: Server,
        shelf: InFlightTable,
        jobs: UnboundedSender<Job>,
    ) -> Self {
        Self {
            pipeline,
            key,
            scope: server.scope(),
            server,
            fuse: Arc::default(),
            shelf: Mutex::new(shelf),
            arrived: Notify::new(),
            room: Notify::new(),
            ended: Notify::new(),
            closing: AtomicBool::new(false),
            trouble: Mutex::default(),
            said: KindThrottle::default(),
            lost: AtomicU64::new(0),
            taken_over: AtomicU64::new(0),
            jobs: Mutex::new(Some(jobs)),
            looked: Mutex::new(Instant::now()),
        }
    }

    /// Held for moments only.
    pub fn shelf(&self) -> MutexGuard<'_, InFlightTable> {
        lock(&self.shelf)
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Nothing is received any more.
    pub fn end(&self) {
        self.closing.store(true, Ordering::Release);
        self.arrived.notify_one();
        self.room.notify_one();
        self.ended.notify_waiters();
    }

    /// How many messages may be read now. Where there is little room and the last read was just now, waits a
    /// moment for more: a round trip for each message that is done with would make all slow.
    pub async fn room_since(&self, read: Instant) -> usize {
        let (room, is_little) = {
            let mut shelf = self.shelf();
            let room = shelf.room(Instant::now());
            (room, shelf.is_little(room))
        };
        let left = READ_INTERVAL.saturating_sub(read.elapsed());
        if room == 0 || !is_little || left.is_zero() {
            return room;
        }
        tokio::time::sleep(left).await;
        self.shelf().room(Instant::now())
    }

    /// Waits until there may be room, or for so long: leases of what waits here have to be renewed.
    pub async fn wait_for_room(&self, longest: Duration) {
        drop(tokio::time::timeout(longest, self.room.notified()).await);
    }

    /// Waits for deliveries; none when the source closes.
    pub async fn receive(&self, max: usize, max_bytes: usize) -> Vec<Delivery> {
        loop {
            let taken = self.shelf().take(max, max_bytes, Instant::now());
            if !taken.is_empty() || self.is_closing() {
                self.room.notify_one();
                return taken;
            }
            // What arrived meanwhile has left a permit.
            self.arrived.notified().await;
        }
    }

    /// Begins to settle each.
    pub fn settle(&self, batch: Vec<(Receipt, Settle)>) -> Begun {
        let (mut known, mut acked) = (Vec::with_capacity(batch.len()), Vec::new());
        {
            let (mut shelf, now) = (self.shelf(), Instant::now());
            for (receipt, how) in batch {
                known.push(match shelf.settle(receipt, how, now) {
                    Ok(true) => {
                        acked.push(receipt.0);
                        None
                    }
                    Ok(false) => {
                        self.arrived.notify_one();
                        Some(Ok(()))
                    }
                    Err(class) => Some(Err(class)),
                });
            }
        }
        self.ask(known, What::Ack(acked))
    }

    /// Begins to renew the lease of each.
    pub fn extend(&self, batch: Vec<Receipt>) -> Begun {
        let (mut known, mut places) = (Vec::with_capacity(batch.len()), Vec::new());
        {
            let shelf = self.shelf();
            for receipt in batch {
                known.push(match shelf.get(receipt.0) {
                    Some(held) if !held.ending => {
                        places.push(held.place);
                        None
                    }
                    // It is being settled.
                    Some(_) => Some(Ok(())),
                    None => Some(Err(ErrorClass::LeaseLost)),
                });
            }
        }
        self.ask(known, What::Renew(places))
    }

    fn ask(&self, known: Vec<Option<Result<(), ErrorClass>>>, what: What) -> Begun {
        if known.iter().all(Option::is_some) {
            return Begun { known, asked: None };
        }
        let (answer, asked) = oneshot::channel();
        if self.start(Job { what, answer: Some(answer) }) {
            return Begun { known, asked: Some(asked) };
        }
        let known =
            known.into_iter().map(|known| Some(known.unwrap_or(Err(ErrorClass::LeaseLost)))).collect();
        Begun { known, asked: None }
    }

    /// Has something done; false when the source is closed.
    fn start(&self, job: Job) -> bool {
        // Its task lives as long as this.
        lock(&self.jobs).as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }

    /// Nobody may ask for anything any more: the task ends when all is done.
    pub fn dismiss(&self) {
        drop(lock(&self.jobs).take());
    }

    /// Renews the leases of what waits here: time in a buffer is time of the lease.
    pub fn refresh_waiting(&self, interval: Duration) {
        let now = Instant::now();
        let mut looked = lock(&self.looked);
        if now.saturating_duration_since(*looked) < interval {
            return;
        }
        *looked = now;
        let stale = self.shelf().stale(now);
        if !stale.is_empty() {
            self.start(Job { what: What::Renew(stale), answer: None });
        }
    }

    /// Waits for so long, or until the source closes.
    pub async fn pause(&self, time: Duration) {
        let ended = self.ended.notified();
        if !self.is_closing() {
            // Whichever is first.
            drop(tokio::time::timeout(time, ended).await);
        }
    }

    /// A task cannot do its part: said, unless it was just said.
    pub fn complain(&self, doing: &'static str, fault: &Fault) {
        let words = format!("{doing} failed: {}", fault.words);
        let mut trouble = self.trouble();
        trouble.now.retain(|(task, _)| *task != doing);
        trouble.now.push((doing, words.clone()));
        drop(trouble);
        if let Some(times) = self.said.again((doing, fault.kind.clone()), Instant::now()) {
            tracing::warn!(pipeline = %self.pipeline, key = self.key, times, "Redis: {words}");
        }
    }

    /// A task does its part.
    pub fn works(&self, doing: &'static str) {
        self.trouble().now.retain(|(task, _)| *task != doing);
    }

    /// What came of a task, said if it went wrong.
    pub fn came_to<T>(&self, doing: &'static str, result: Result<T, Fault>) -> Result<T, ErrorClass> {
        match result {
            Ok(value) => {
                self.works(doing);
                Ok(value)
            }
            Err(fault) => {
                self.complain(doing, &fault);
                Err(Fault::CLASS)
            }
        }
    }

    pub fn in_words(&self) -> Option<String> {
        self.trouble().now.first().map(|(_, words)| words.clone())
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        lock(&self.trouble)
    }

    /// These are gone from the server though they were not handled.
    pub fn lose(&self, count: usize, example: &str) {
        let count = number::count(count);
        if count == 0 {
            return;
        }
        let all = self.lost.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        tracing::error!(
            pipeline = %self.pipeline, stream = self.key, lost = count, lost_in_all = all, example,
            "entries were deleted or trimmed from the stream before they were handled: their content is \
             gone, and they are acknowledged. Trim by the lowest pending id (`maxlen` here does), or keep \
             more"
        );
    }

    /// How many of them there were since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// So many were another worker's.
    pub fn take_over(&self, count: usize) {
        self.taken_over.fetch_add(number::count(count), Ordering::Relaxed);
    }

    /// How many of them there were since the start.
    pub fn taken_over(&self) -> u64 {
        self.taken_over.load(Ordering::Relaxed)
    }
}
