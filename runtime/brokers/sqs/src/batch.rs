//! Deletes and changes of visibility, several of them in one call; and what each entry was answered.

use super::calls::{alone, change_all, delete_all};
use super::options::BATCH;
use super::state::SourceShared;
use crate::points;
use pelton_core::ports::ErrorClass;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a call waits for others of its kind: in a queue in order, where the rest of a group waits for it,
/// and in another, where it costs nothing but a little room.
const GATHER: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(20));
/// Calls under way at once.
const CALLS: usize = 16;

/// What is to be done to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchKind {
    Delete,
    /// It is invisible for so many seconds from now, and not ours any more.
    Visibility(i32),
    /// It is ours for so many seconds from now.
    Extend(i32),
}

/// One entry of a call.
#[derive(Debug)]
pub struct Job {
    pub receipt: u64,
    pub handle: String,
    pub kind: BatchKind,
    /// Who waits for the answer, if anybody does.
    pub answer: Option<oneshot::Sender<Result<(), ErrorClass>>>,
}

/// What one entry of a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Known(Result<(), ErrorClass>),
    /// It failed for no fault of its own: it is tried once more, by itself.
    Again,
}

/// What a call came to, entry by entry.
pub type Answered = Vec<(Job, Fate)>;

/// Makes the calls, until nobody can ask for one any more and all are answered.
pub async fn run(shared: Arc<SourceShared>, mut jobs: UnboundedReceiver<Job>) {
    let mut desk = SettleBatcher::new(shared);
    let mut open = true;
    while open || !desk.is_idle() {
        let due = desk.due();
        let asleep = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            job = jobs.recv(), if open => match job {
                Some(job) => desk.take(job),
                None => open = false,
            },
            Some(done) = desk.calls.join_next() => desk.answered(done.unwrap_or_default()),
            Some(done) = desk.singles.join_next() => desk.answered(done.unwrap_or_default()),
            () = asleep => {}
        }
        points::reach("sqs-settle");
        desk.flush(!open);
    }
}

#[derive(Default)]
struct BatchQueue {
    jobs: VecDeque<Job>,
    since: Option<Instant>,
}

impl BatchQueue {
    fn push(&mut self, job: Job) {
        self.since.get_or_insert_with(Instant::now);
        self.jobs.push_back(job);
    }

    fn is_due(&self, now: Instant, gather: Duration) -> bool {
        self.jobs.len() >= BATCH || self.since.is_some_and(|since| since + gather <= now)
    }

    fn next(&mut self) -> Vec<Job> {
        let next = self.jobs.drain(..self.jobs.len().min(BATCH)).collect();
        if self.jobs.is_empty() {
            self.since = None;
        }
        next
    }
}

struct SettleBatcher {
    shared: Arc<SourceShared>,
    gather: Duration,
    deletes: BatchQueue,
    changes: BatchQueue,
    calls: JoinSet<Answered>,
    /// Entries that are tried again by themselves: nobody else waits for them.
    singles: JoinSet<Answered>,
    /// Messages whose lease is just being extended, each with what is to be done to it after that: a
    /// late extension must not follow a delete, nor overwrite a longer wait.
    extending: HashMap<u64, Vec<Job>>,
}

impl SettleBatcher {
    fn new(shared: Arc<SourceShared>) -> Self {
        let gather = if shared.options.is_fifo() { GATHER.0 } else { GATHER.1 };
        Self {
            shared,
            gather,
            deletes: BatchQueue::default(),
            changes: BatchQueue::default(),
            calls: JoinSet::new(),
            singles: JoinSet::new(),
            extending: HashMap::new(),
        }
    }

    fn is_idle(&self) -> bool {
        let answered = self.calls.is_empty() && self.singles.is_empty();
        answered && self.deletes.jobs.is_empty() && self.changes.jobs.is_empty()
    }

    /// When the next call is due, if there may be one.
    fn due(&self) -> Option<Instant> {
        let free = self.calls.len() < CALLS;
        let due = [&self.deletes, &self.changes].into_iter().filter_map(|queue| queue.since).min();
        due.filter(|_| free).map(|since| since + self.gather)
    }

    fn take(&mut self, job: Job) {
        if let Some(after) = self.extending.get_mut(&job.receipt) {
            after.push(job);
            return;
        }
        match job.kind {
            BatchKind::Delete => self.deletes.push(job),
            BatchKind::Visibility(_) | BatchKind::Extend(_) => self.changes.push(job),
        }
    }

    fn flush(&mut self, all: bool) {
        let now = Instant::now();
        while self.calls.len() < CALLS
            && (self.deletes.is_due(now, self.gather) || all && !self.deletes.jobs.is_empty())
        {
            let (shared, jobs) = (self.shared.clone(), self.deletes.next());
            self.calls.spawn(async move { call(&shared, delete_all(&shared, jobs)).await });
        }
        while self.calls.len() < CALLS
            && (self.changes.is_due(now, self.gather) || all && !self.changes.jobs.is_empty())
        {
            let jobs = self.still_wanted();
            if jobs.is_empty() {
                continue;
            }
            let extended = jobs.iter().filter(|job| matches!(job.kind, BatchKind::Extend(_)));
            self.extending.extend(extended.map(|job| (job.receipt, Vec::new())));
            let shared = self.shared.clone();
            self.calls.spawn(async move { call(&shared, change_all(&shared, jobs)).await });
        }
    }

    /// The next changes, without extensions of what is being settled meanwhile.
    fn still_wanted(&mut self) -> Vec<Job> {
        let jobs = self.changes.next();
        let (mut wanted, mut moot) = (Vec::with_capacity(jobs.len()), Vec::new());
        let mut state = self.shared.state();
        for job in jobs {
            let ends = state.table.get_mut(job.receipt).is_none_or(|held| held.ending);
            if matches!(job.kind, BatchKind::Extend(_)) && ends { moot.push(job) } else { wanted.push(job) }
        }
        drop(state);
        moot.into_iter().for_each(|job| answer(job, Ok(())));
        wanted
    }

    fn answered(&mut self, answered: Answered) {
        for (job, fate) in answered {
            match fate {
                Fate::Known(result) => self.done(job, result),
                Fate::Again => {
                    let shared = self.shared.clone();
                    self.singles.spawn(async move { call(&shared, alone(&shared, job)).await });
                }
            }
        }
        self.shared.room.notify_one();
    }

    fn done(&mut self, job: Job, result: Result<(), ErrorClass>) {
        self.shared.state().answered(job.receipt, job.kind, result);
        let after = match job.kind {
            BatchKind::Extend(_) => self.extending.remove(&job.receipt),
            BatchKind::Delete | BatchKind::Visibility(_) => None,
        };
        answer(job, result);
        after.into_iter().flatten().for_each(|job| self.take(job));
    }
}

/// Makes a call. Whoever asked for what a panic takes along is told that nobody answers.
async fn call(shared: &SourceShared, made: impl Future<Output = Answered>) -> Answered {
    let made = async {
        points::reach("sqs-call");
        made.await
    };
    shared.fuse.contained("a call", made).await.unwrap_or_default()
}

fn answer(job: Job, result: Result<(), ErrorClass>) {
    if let Some(answer) = job.answer {
        // Who asked may have gone.
        answer.send(result).unwrap_or_default();
    }
}
