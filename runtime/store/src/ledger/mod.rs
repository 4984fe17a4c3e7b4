//! The ledger of one pipeline: what lives in memory of it, and the port.

pub mod attempted;
pub mod behind;
pub mod entries;
pub mod former;
pub mod identity;
pub mod key;
pub mod ranges;
pub mod recovery;
pub mod show;
pub mod topics;

use crate::numbers::unsigned;
use crate::queue::Queue;
use crate::writer::{Change, ChangeList, Forget, How, Op, Writer, changed};
use attempted::Attempted;
use entries::Entries;
use former::Former;
pub use former::FormerKeys;
use identity::Item;
use pelton_core::ports::{
    BoxFuture, Claim, ClaimItem, Completion, DeadLetters, ErrorClass, Ledger, Release, Verdict,
};
use pelton_core::{Cause, Counter, Letter, Position, Receipt};
use ranges::{RangeKind, Ranges};
use rusqlite::{Connection, params};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::oneshot;
use topics::TopicBefore;

/// What a pipeline's ledger is told at its start.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// Whether a completed key is a duplicate from then on.
    pub dedup: bool,
    /// How long a completed key is kept at least, in milliseconds; at most a sixteenth longer, and a minute.
    pub expires_after_ms: u64,
    /// The embedded queue that letters go to; none keeps them in the database's own table.
    pub dead_letter_queue: Option<String>,
    /// The same of letters of some causes, which have places of their own here.
    pub letters_by_cause: Vec<(Cause, Option<String>)>,
    /// Digest of the handler, for `status`.
    pub handler_digest: Arc<str>,
    /// What an earlier version knew a message by, where that was something else.
    pub former_key: Option<FormerKeys>,
    /// Its ledger is in a database. Then nothing is counted here but by [`PipelineStore::count`].
    pub elsewhere: bool,
}

/// Where letters are written: into queues, or where there is none into the table.
#[derive(Default)]
pub struct LettersTo {
    pub usual: Option<Arc<Queue>>,
    pub by_cause: Vec<(Cause, Option<Arc<Queue>>)>,
}

impl LettersTo {
    /// The queue for letters of a cause.
    pub fn queue(&self, cause: Cause) -> Option<&Arc<Queue>> {
        let own = self.by_cause.iter().find(|(own, _)| *own == cause);
        own.map_or(self.usual.as_ref(), |(_, queue)| queue.as_ref())
    }
}

/// One pipeline, as the writer sees it.
pub struct Pipeline {
    pub id: i64,
    pub name: Arc<str>,
    pub dedup: bool,
    /// How long completed keys are kept, in milliseconds.
    pub kept_ms: u64,
    pub letters_to: LettersTo,
    pub source: OnceLock<Arc<Queue>>,
    /// Where keys may be completed under a form that is no more.
    pub former: OnceLock<Former>,
    /// Whether it has its ledger in a database.
    pub elsewhere: bool,
    /// Completions that are behind others.
    pub held: behind::Held,
    state: Mutex<LedgerState>,
}

/// Written by the writer thread only.
#[derive(Default)]
pub struct LedgerState {
    /// Chunks with claims that have not ended; the place of an ended one is empty.
    pub live: HashMap<u64, Vec<Option<Item>>>,
    pub ranges: HashMap<u32, Ranges>,
    /// Who has a row in `attempts`: the others are spared the lookup.
    pub attempted: Attempted,
    pub entries: Entries,
    /// What an operator has given up on, by hand.
    pub given_up: BTreeSet<Position>,
}

impl Pipeline {
    /// One that knows nothing yet.
    pub fn new(id: i64, name: &str, options: &PipelineOptions, letters_to: LettersTo) -> Self {
        Self {
            id,
            name: name.into(),
            dedup: options.dedup,
            kept_ms: options.expires_after_ms,
            letters_to,
            source: OnceLock::new(),
            former: OnceLock::new(),
            elsewhere: options.elsewhere,
            held: behind::Held::default(),
            state: Mutex::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, LedgerState> {
        // Nothing panics while it is held; if something did, the maps are still maps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what memory holds of the tables, at the start. What was read of the completed keys for a
    /// pipeline before this one, which has ended, need not be read again.
    pub fn load(&self, db: &Connection, before: Option<Self>) -> rusqlite::Result<()> {
        let state = before.map(|before| before.state.into_inner().unwrap_or_else(PoisonError::into_inner));
        let entries = state.map_or_else(|| Entries::load(db, self.id), |state| Ok(state.entries))?;
        self.state().entries = entries;
        self.read(db)
    }

    /// Reads again what a group has changed that failed.
    pub fn reload(&self, db: &Connection) -> rusqlite::Result<()> {
        self.read(db)?;
        self.state().entries.reload(db)
    }

    fn read(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut ranges: HashMap<u32, Ranges> = HashMap::new();
        let mut rows = db.prepare_cached(
            "SELECT partition, first, last FROM ranges WHERE pipeline = ?1 AND partition <= ?2",
        )?;
        let mut rows = rows.query(params![self.id, RangeKind::Completed.of(u32::MAX)])?;
        while let Some(row) = rows.next()? {
            let (first, last): (i64, i64) = (row.get(1)?, row.get(2)?);
            ranges.entry(row.get(0)?).or_default().add(unsigned(first), unsigned(last));
        }
        let attempted = Attempted::read(db, self.id)?;
        let mut state = self.state();
        (state.ranges, state.attempted) = (ranges, attempted);
        Ok(())
    }

    /// Ends a claim, once.
    pub fn take(&self, claim: Claim) -> Option<Item> {
        let mut state = self.state();
        state.live.get_mut(&claim.chunk)?.get_mut(usize::try_from(claim.index).ok()?)?.take()
    }

    /// Whether a claim has not ended.
    pub fn is_live(&self, claim: Claim) -> bool {
        let state = self.state();
        let chunk = state.live.get(&claim.chunk);
        usize::try_from(claim.index)
            .is_ok_and(|place| chunk.is_some_and(|c| matches!(c.get(place), Some(Some(_)))))
    }

    /// Whether what lies at a position is done with.
    pub fn completed(&self, p: Position) -> bool {
        self.state().ranges.get(&p.partition).is_some_and(|r| r.contains(p.offset))
    }
}

/// The ledger and the dead letters of one pipeline.
#[derive(Clone)]
pub struct PipelineStore {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) redo: bool,
}

impl PipelineStore {
    /// The same ledger, by which nothing is a duplicate: for an operator who has messages handled again.
    /// What it completes is completed as ever.
    #[must_use]
    pub fn redoing(self) -> Self {
        Self { redo: true, ..self }
    }

    /// Forgets what was completed, and what was tried, in one partition; how many ranges of completed
    /// offsets that were. None when the store cannot write now. Blocks.
    #[must_use]
    pub fn forget_positions(&self, partition: u32) -> Option<usize> {
        let (answer, answered) = std::sync::mpsc::channel();
        self.forget(Forget::Partition(partition, answer));
        answered.recv().ok().flatten()
    }

    /// Tells which topic a number stands for now, and who reads it; what was known of it before. If that
    /// was another topic of its name, what was completed, tried and given up on in it is forgotten, and
    /// what is still in work of it completes nothing any more. None when the store cannot write now.
    /// Blocks.
    #[must_use]
    pub fn topic_is(&self, number: u32, id: &str, group: &str) -> Option<TopicBefore> {
        let (answer, answered) = std::sync::mpsc::channel();
        let (id, group) = (id.to_owned(), group.to_owned());
        self.forget(Forget::OtherTopics { number, id, group, answer });
        answered.recv().ok().flatten()
    }

    /// How many offsets of a partition are completed, of those from this one on.
    #[must_use]
    pub fn completed_from(&self, partition: u32, offset: u64) -> u64 {
        self.pipeline.state().ranges.get(&partition).map_or(0, |ranges| ranges.count(offset, u64::MAX))
    }

    /// Notes that an operator has given up on what is at an offset: for a source that cannot read it,
    /// whatever its key may be. Known as long as this process runs.
    pub fn give_up_on(&self, partition: u32, offset: u64) {
        self.pipeline.state().given_up.insert(Position { partition, offset });
    }

    /// Whether what is at an offset is completed, has a letter, or was given up on.
    #[must_use]
    pub fn is_done(&self, partition: u32, offset: u64) -> bool {
        let position = Position { partition, offset };
        self.pipeline.completed(position) || self.pipeline.state().given_up.contains(&position)
    }

    /// Forgets the attempts of what lies before an offset of a partition: the group has committed that
    /// offset, so it is done with, here or on another host. What was completed there stays known.
    /// Returns at once, and promises nothing: what is left, if the store cannot write now, goes with the
    /// next call.
    pub fn settled_before(&self, partition: u32, offset: u64) {
        self.forget(Forget::AttemptsBefore(Position { partition, offset }));
    }

    /// Counts for ever what a pipeline has done whose ledger is in a database. True when it is on disk; else
    /// nothing of it was counted. Not to be dropped before it is known: it may count all the same.
    pub async fn count(&self, counts: Vec<(Counter, u64)>) -> bool {
        let count = |(counter, number)| Change::Count(counter, number);
        let counted = self.change(counts.into_iter().map(count).collect()).await;
        counted.iter().all(Result::is_ok)
    }

    /// Removes a message of the queue that is read, which was given up on: what waits for it in its lane goes
    /// on. Whether that is on disk.
    pub async fn remove(&self, receipt: Receipt, key: Option<&[u8]>) -> bool {
        let removed = self.change(vec![Change::Remove(receipt, key.map(Into::into))]).await;
        removed.iter().all(Result::is_ok)
    }

    fn forget(&self, what: Forget) {
        self.writer.send(Op::Forget { pipeline: self.pipeline.clone(), what });
    }

    fn change(&self, changes: Vec<Change>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        change(&self.writer, &self.pipeline, changes)
    }
}

/// Hands changes to the writer and waits for their fate.
pub fn change(
    writer: &Writer,
    pipeline: &Arc<Pipeline>,
    changes: Vec<Change>,
) -> BoxFuture<'static, Vec<Result<(), ErrorClass>>> {
    changed(writer, ChangeList::Of(pipeline.clone(), changes))
}

impl Ledger for PipelineStore {
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        let (answer, answered) = oneshot::channel();
        let (pipeline, redo) = (self.pipeline.clone(), self.redo);
        self.writer.send(Op::Claim { pipeline, items, how: How { alone, redo }, answer });
        Box::pin(async move { answered.await.unwrap_or(Err(ErrorClass::Permanent)) })
    }

    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        behind::complete(self, batch)
    }

    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.change(batch.into_iter().map(Change::Release).collect())
    }

    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
        let (answer, answered) = oneshot::channel();
        let identities = items.iter().map(|item| item.identity).collect();
        self.writer.send(Op::Starts { pipeline: self.pipeline.clone(), identities, answer });
        Box::pin(async move { answered.await.unwrap_or(Err(ErrorClass::Permanent)) })
    }

    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
        let (answer, answered) = oneshot::channel();
        self.writer.send(Op::Completed { pipeline: self.pipeline.clone(), items, answer });
        Box::pin(async move { answered.await.unwrap_or(Err(ErrorClass::Permanent)) })
    }

    fn count_duplicates(&self, count: u64) {
        // Handed over by now; nobody waits for a count to be on disk.
        drop(self.change(vec![Change::Count(Counter::Duplicates, count)]));
    }
}

/// The ledger's part in letters that are kept elsewhere: to be told once they are durable there.
/// Ends the claim, counts the letter, and knows a later delivery of the same message by it.
pub struct NotedLetters(pub PipelineStore);

impl DeadLetters for NotedLetters {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.0.change(batch.into_iter().map(|l| Change::Note(Box::new(l))).collect())
    }
}

impl DeadLetters for PipelineStore {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.change(batch.into_iter().map(|l| Change::Publish(Box::new(l))).collect())
    }
}
