//! The one thread that writes: takes what has arrived, commits it as a group, answers.

mod changes;
mod claims;
mod effects;
mod forget;
mod group;
mod group_effects;
mod group_sizer;
mod new_rows;
mod op;
mod outbox_rows;
mod prune;

use crate::numbers::signed;
pub use forget::Forget;
pub use group_effects::Effect;
use op::Answer;
pub use op::{Change, ChangeList, How, Op, changed};

use crate::clock::WallClock;
use crate::db::{Gate, Log};
use crate::error::{StoreError, class_of};
use crate::ledger::Pipeline;
use crate::outbox::targets::Targets;
use crate::queue::Queue;
use pelton_core::Identity;
use pelton_core::effects::Overlay;
use pelton_core::points;
use pelton_core::ports::{ClaimItem, ErrorClass, Verdict};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

/// Operations that are taken in at once; what waits longer is taken in after a commit.
const TAKEN: usize = 512;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The thread's handle.
pub struct Writer {
    ops: Sender<Op>,
    /// What handlers have written that is not committed yet.
    pub shown: Arc<Overlay>,
    /// Held while completions are handed over that have effects: in which order is known by what is shown.
    pub handing_over: std::sync::Mutex<()>,
    shared: Arc<WriterShared>,
    thread: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct WriterShared {
    failed: OnceLock<String>,
    /// Why the last transaction was not committed, where that may pass.
    held: std::sync::Mutex<Option<String>>,
    is_held: AtomicBool,
}

impl Writer {
    /// Starts it on a connection of its own.
    pub fn start(
        db: Connection,
        log: Log,
        gate: Gate,
        clock: Arc<dyn WallClock>,
        targets: Arc<Targets>,
    ) -> std::io::Result<Self> {
        let (ops, arrived) = channel();
        let shared = Arc::new(WriterShared::default());
        let loop_ = Loop {
            db,
            log,
            gate,
            clock,
            targets,
            next_chunk: 1,
            shared: shared.clone(),
            full: true,
            prune: prune::Pruner::default(),
            pace: group_sizer::GroupSizer::default(),
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || loop_.run(&arrived))?;
        let thread = std::sync::Mutex::new(Some(thread));
        Ok(Self { ops, shown: Arc::default(), handing_over: std::sync::Mutex::default(), shared, thread })
    }

    /// Hands an operation over. When the thread has ended its answer's channel closes.
    pub fn send(&self, op: Op) {
        if self.ops.send(op).is_err() {
            tracing::debug!("the writer has ended");
        }
    }

    /// Looks after what a pipeline keeps, from now on.
    pub fn keep(&self, pipeline: &Arc<Pipeline>) {
        self.send(Op::Keep(pipeline.clone()));
    }

    /// Leaves what a pipeline has kept as it is, since another begins in its place. The pipeline, if nobody
    /// else has it any more. Blocks.
    pub fn leave(&self, id: i64) -> Result<Option<Pipeline>, StoreError> {
        let (answer, answered) = channel();
        self.send(Op::Leave(id, answer));
        let ended = |_| StoreError::Stopped("its writer has ended".to_owned());
        Ok(answered.recv().map_err(ended)?.and_then(Arc::into_inner))
    }

    /// Refuses everything from now on: what is on disk, or in memory of it, is unknown.
    pub fn fail(&self, why: String) {
        self.shared.fail(why);
    }

    /// Why it refuses everything, if it does.
    pub fn failed(&self) -> Option<String> {
        self.shared.failed.get().cloned()
    }

    /// Why nothing can be written now, or ever.
    pub fn trouble(&self) -> Option<String> {
        let held = || self.shared.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.failed().or_else(|| self.shared.is_held.load(Ordering::Relaxed).then(held).flatten())
    }

    /// Ends it after what has been handed over.
    pub fn stop(&self) {
        self.send(Op::Stop);
        let thread = self.thread.lock().ok().and_then(|mut t| t.take());
        if thread.is_some_and(|t| t.join().is_err()) {
            tracing::error!("the writer thread panicked");
        }
    }
}

impl WriterShared {
    /// What the last transaction has come to, unless all was well before too.
    fn note(&self, held: Option<String>) {
        if held.is_some() || self.is_held.load(Ordering::Relaxed) {
            self.is_held.store(held.is_some(), Ordering::Relaxed);
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        }
    }

    fn fail(&self, why: String) {
        if self.failed.set(why.clone()).is_ok() {
            tracing::error!(
                why,
                "the store stops: after this nothing more is promised. What is in work comes back at the \
                 next start"
            );
        }
    }
}

struct Loop {
    db: Connection,
    log: Log,
    gate: Gate,
    clock: Arc<dyn WallClock>,
    targets: Arc<Targets>,
    next_chunk: u64,
    shared: Arc<WriterShared>,
    /// Whether commits are synced now (`PRAGMA synchronous`).
    full: bool,
    prune: prune::Pruner,
    pace: group_sizer::GroupSizer,
}

type ClaimOp = (Arc<Pipeline>, Vec<ClaimItem>, How, Answer<Result<Vec<Verdict>, ErrorClass>>);
type ChangeOp = (ChangeList, Answer<Vec<Result<(), ErrorClass>>>);

impl Loop {
    fn run(mut self, arrived: &Receiver<Op>) {
        let mut waiting = VecDeque::new();
        loop {
            if self.prune.is_due() {
                self.tidy();
            }
            let Some(claims) = self.take(arrived, &mut waiting) else { break };
            // Claims first: they need no sync, and handlers start while the rest is being synced.
            if !claims.is_empty() {
                self.claim_group(claims);
            }
            if !self.next_group(&mut waiting) {
                break;
            }
            self.fold_log();
            self.gate.stand_back();
        }
        self.log.fold_alone();
        if self.shared.failed.get().is_none()
            && let Err(error) = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::debug!(%error, "the log could not be folded in at the end; the next start does it");
        }
    }

    /// Takes what has arrived, and waits for it when nothing else is to be done: claims, and in its order
    /// what waits behind them. None at the end.
    fn take(&self, arrived: &Receiver<Op>, waiting: &mut VecDeque<Op>) -> Option<Vec<ClaimOp>> {
        let first = if waiting.is_empty() {
            match arrived.recv_timeout(self.prune.wait()) {
                Ok(op) => Some(op),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        } else {
            None
        };
        let mut claims = Vec::new();
        for op in first.into_iter().chain(arrived.try_iter().take(TAKEN)) {
            match op {
                Op::Claim { pipeline, items, how, answer } => claims.push((pipeline, items, how, answer)),
                other => waiting.push_back(other),
            }
        }
        Some(claims)
    }

    /// Commits the changes that have waited longest as one group, and does what was asked for after them.
    /// Whether more may come.
    fn next_group(&mut self, waiting: &mut VecDeque<Op>) -> bool {
        let is_change = |op: &mut Op| matches!(op, Op::Change { .. });
        let (mut room, mut group) = (self.pace.room(), Vec::new());
        while room > 0
            && let Some(Op::Change { changes, answer }) = waiting.pop_front_if(is_change)
        {
            room = room.saturating_sub(changes.len());
            group.push((changes, answer));
        }
        if !group.is_empty() {
            self.change_group(group);
        }
        // After the changes: what was asked for before is forgotten too.
        while let Some(op) = waiting.pop_front_if(|op| !is_change(op)) {
            match op {
                Op::Starts { pipeline, identities, answer } => {
                    reply(answer, self.starts(&pipeline, &identities));
                }
                Op::Completed { pipeline, items, answer } => {
                    reply(answer, self.completed(&pipeline, &items));
                }
                Op::Forget { pipeline, what } => self.forget(&pipeline, what),
                Op::Keep(pipeline) => self.prune.keep(pipeline),
                Op::Leave(id, answer) => {
                    if answer.send(self.prune.leave(id)).is_err() {
                        tracing::debug!("nobody waits for the pipeline any more");
                    }
                }
                Op::Rebase(queues) => self.rebase(&queues),
                // Nobody may wait any more.
                Op::Beat(answer) => answer.send(()).unwrap_or_default(),
                Op::Stop => return false,
                // Neither waits here: `take` has kept the claims apart.
                Op::Claim { .. } | Op::Change { .. } => {}
            }
        }
        true
    }

    fn completed(&self, pipeline: &Pipeline, items: &[ClaimItem]) -> Result<Vec<bool>, ErrorClass> {
        claims::were_completed(&self.db, pipeline, items).map_err(|error| class_of(&error))
    }

    fn starts(&self, pipeline: &Pipeline, identities: &[Identity]) -> Result<Vec<u32>, ErrorClass> {
        if self.shared.failed.get().is_some() {
            return Err(ErrorClass::Permanent);
        }
        let all = identities.iter().map(|identity| claims::starts(&self.db, pipeline, *identity));
        all.collect::<rusqlite::Result<_>>().map_err(|error| class_of(&error))
    }

    /// A checkpoint that fails may be a sync that failed, of what was promised without one.
    fn fold_log(&mut self) {
        if self.shared.failed.get().is_none()
            && let Err(error) = self.log.tend(&self.db)
            && class_of(&error) == ErrorClass::Permanent
        {
            self.shared.fail(format!("the log could not be folded into the database: {error}"));
        }
    }

    fn claim_group(&mut self, ops: Vec<ClaimOp>) {
        if self.log.is_too_long(&self.db).unwrap_or(false) {
            return ops.into_iter().for_each(|(_, _, _, answer)| reply(answer, Err(ErrorClass::Transient)));
        }
        points::reach("before-claim");
        let mut staged = Vec::with_capacity(ops.len());
        let done = self.transaction(false, |me| {
            for (pipeline, items, how, _) in &ops {
                let chunk = me.next_chunk;
                me.next_chunk += 1;
                staged.push(claims::claim(&me.db, pipeline, chunk, items, *how)?);
            }
            Ok(())
        });
        points::reach("claimed");
        match done {
            Ok(()) => {
                for ((pipeline, _, _, answer), claimed) in ops.into_iter().zip(staged) {
                    let verdicts = claimed.take_effect(&pipeline);
                    reply(answer, Ok(verdicts));
                }
            }
            Err(class) => ops.into_iter().for_each(|(_, _, _, answer)| reply(answer, Err(class))),
        }
    }

    /// Runs and commits a transaction; with `full`, synced to disk. After an error nothing of it
    /// has happened; after one that leaves the disk's state unknown, nothing is done ever again.
    fn transaction(
        &mut self,
        full: bool,
        body: impl FnOnce(&mut Self) -> rusqlite::Result<()>,
    ) -> Result<(), ErrorClass> {
        if self.shared.failed.get().is_some() {
            return Err(ErrorClass::Permanent);
        }
        let done = self.try_transaction(full, body);
        let Err(error) = done else {
            self.shared.note(None);
            return Ok(());
        };
        let class = error.class();
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        if class == ErrorClass::Permanent {
            self.shared.fail(error.to_string());
        } else {
            self.shared.note(Some(error.to_string()));
            tracing::warn!(%error, "the store could not commit; it tries again. Intake pauses until it \
                can: free the disk, or end who holds the database");
        }
        Err(class)
    }

    fn try_transaction(
        &mut self,
        full: bool,
        body: impl FnOnce(&mut Self) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        if self.full != full {
            self.db.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" })?;
            self.full = full;
        }
        self.gate.begin(&self.db, BUSY_TIMEOUT)?;
        body(self)?;
        self.db.execute_batch("COMMIT")?;
        Ok(())
    }

    fn rebase(&mut self, queues: &[Arc<Queue>]) {
        let now = self.clock.now_ms();
        let done = self.transaction(true, |me| rebase(&me.db, now));
        if done.is_ok() {
            tracing::warn!("the wall clock went back: waits in the queue are measured from now");
        }
        queues.iter().for_each(|q| q.look_again());
    }
}

/// After the clock went back, a wait that was set "later than now" would be longer than asked for.
pub fn rebase(db: &Connection, now: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE messages SET visible_at = ?1 + (visible_at - delayed_at), delayed_at = ?1
               WHERE visible_at > 0 AND delayed_at > ?1";
    db.execute(sql, [signed(now)]).map(drop)
}

fn reply<T>(answer: Answer<T>, result: T) {
    if answer.send(result).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}
