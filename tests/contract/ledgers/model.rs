//! A ledger in memory that keeps the contract, and nothing else. The suite has to pass on it, and to fail
//! where a rule of it is broken: see `mutants`.

use pelton_core::ports::{
    BoxFuture, Claim, ClaimItem, Completion, DeadLetters, ErrorClass, Ledger, Release, Verdict,
};
use pelton_core::{Identity, Letter};
use pelton_tests::contract::ledgers::{
    LedgerDescription, LedgerFixture, LedgerSubject, LedgerWorker, after,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From when a claim may be taken over. Workers are heard of ten times as often.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(400);
/// How often a worker is heard of, and looks whether it may go on.
const HEARTBEAT: Duration = Duration::from_millis(10);

/// How it is made.
pub struct Model;

impl LedgerSubject for Model {
    fn name(&self) -> &'static str {
        "model"
    }

    fn description(&self) -> LedgerDescription {
        LedgerDescription { shared: true, remote: true, gives_back: true, claim_timeout: CLAIM_TIMEOUT }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn LedgerFixture>> {
        Box::pin(async { Box::new(Memory::default()) as Box<dyn LedgerFixture> })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Waiting,
    Running { worker: usize, claim: Claim },
    Completed,
}

struct Row {
    attempts: u32,
    stands: Stands,
}

/// What is shared.
#[derive(Default)]
struct Tables {
    rows: BTreeMap<Identity, Row>,
    /// Ids of messages that have a letter.
    lettered: Vec<String>,
    /// When each worker was heard of; none once it has ended.
    workers: Vec<Option<Instant>>,
    chunks: u64,
}

#[derive(Default)]
struct Memory(Arc<Mutex<Tables>>);

impl LedgerFixture for Memory {
    fn worker(&mut self) -> BoxFuture<'_, Box<dyn LedgerWorker>> {
        let way = Way { tables: self.0.clone(), still: Arc::default(), cut: Arc::default() };
        let mut worker = Member { open: way.open(), way };
        Box::pin(async move {
            worker.begin().await;
            Box::new(worker) as Box<dyn LedgerWorker>
        })
    }
}

/// How a worker comes to it.
#[derive(Clone)]
struct Way {
    tables: Arc<Mutex<Tables>>,
    still: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
}

impl Way {
    fn open(&self) -> Arc<Open> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.workers.push(Some(Instant::now()));
        Arc::new(Open { number: tables.workers.len() - 1, dead: AtomicBool::new(false), way: self.clone() })
    }
}

struct Member {
    open: Arc<Open>,
    way: Way,
}

impl LedgerWorker for Member {
    fn ledger(&self) -> Arc<dyn Ledger> {
        self.open.clone()
    }

    fn letters(&self) -> Arc<dyn DeadLetters> {
        self.open.clone()
    }

    fn die(&mut self) -> BoxFuture<'_, ()> {
        self.open.dead.store(true, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.open.dead.store(true, Ordering::SeqCst);
        self.open.tables().workers[self.open.number] = None;
        Box::pin(std::future::ready(()))
    }

    fn begin(&mut self) -> BoxFuture<'_, ()> {
        self.open.tables().workers[self.open.number] = None;
        self.open = self.way.open();
        let open = self.open.clone();
        tokio::spawn(async move {
            while !open.dead.load(Ordering::SeqCst) {
                if !open.way.still.load(Ordering::SeqCst) {
                    open.tables().workers[open.number] = Some(Instant::now());
                }
                after(HEARTBEAT).await;
            }
        });
        Box::pin(std::future::ready(()))
    }

    fn stand_still(&self) {
        self.way.still.store(true, Ordering::SeqCst);
    }

    fn go_on(&self) {
        self.way.still.store(false, Ordering::SeqCst);
    }

    fn cut(&self) {
        self.way.cut.store(true, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.way.cut.store(false, Ordering::SeqCst);
    }
}

/// One incarnation of a worker.
struct Open {
    number: usize,
    dead: AtomicBool,
    way: Way,
}

impl Open {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.way.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables, once what it sends arrives.
    async fn asked(&self) -> Result<MutexGuard<'_, Tables>, ErrorClass> {
        while self.way.still.load(Ordering::SeqCst) {
            after(HEARTBEAT).await;
        }
        let is_cut = self.way.cut.load(Ordering::SeqCst);
        if is_cut { Err(ErrorClass::Transient) } else { Ok(self.tables()) }
    }

    /// Ends a claim of its own as `how` says.
    async fn end(
        &self,
        identity: Identity,
        claim: Claim,
        how: impl FnOnce(&mut Tables),
    ) -> Result<(), ErrorClass> {
        let mut tables = self.asked().await?;
        let mine = Stands::Running { worker: self.number, claim };
        if tables.rows.get(&identity).is_none_or(|row| row.stands != mine) {
            return Err(ErrorClass::LeaseLost);
        }
        how(&mut tables);
        Ok(())
    }
}

impl Tables {
    fn claim(&mut self, item: &ClaimItem, worker: usize, claim: Claim, alone: bool) -> Verdict {
        if self.lettered.contains(&item.message.id().to_string()) {
            return Verdict::AlreadyDeadLettered;
        }
        let row = self.rows.entry(item.identity).or_insert(Row { attempts: 0, stands: Stands::Waiting });
        let crashed = match row.stands {
            Stands::Completed => return Verdict::Duplicate,
            Stands::Waiting => false,
            Stands::Running { worker, .. }
                if self.workers[worker].is_some_and(|heard| heard.elapsed() < CLAIM_TIMEOUT) =>
            {
                return Verdict::Elsewhere { wait_ms: 10 };
            }
            Stands::Running { .. } if !alone => return Verdict::Suspect,
            Stands::Running { .. } => true,
        };
        row.attempts = row.attempts.max(item.attempts) + 1;
        row.stands = Stands::Running { worker, claim };
        Verdict::Fresh { claim, attempt: row.attempts, crashed }
    }
}

impl Ledger for Open {
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        Box::pin(async move {
            let mut tables = self.asked().await?;
            tables.chunks += 1;
            let chunk = tables.chunks;
            let each = items.iter().zip(0..);
            Ok(each.map(|(i, index)| tables.claim(i, self.number, Claim { chunk, index }, alone)).collect())
        })
    }

    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let mut results = Vec::new();
            for Completion { identity, claim, .. } in batch {
                let completes = |tables: &mut Tables| {
                    tables.rows.insert(identity, Row { attempts: 0, stands: Stands::Completed });
                };
                results.push(self.end(identity, claim, completes).await);
            }
            results
        })
    }

    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let mut results = Vec::new();
            for Release { identity, claim, counts, .. } in batch {
                let waits = |tables: &mut Tables| {
                    if let Some(row) = tables.rows.get_mut(&identity) {
                        row.attempts -= u32::from(!counts);
                        row.stands = Stands::Waiting;
                    }
                };
                results.push(self.end(identity, claim, waits).await);
            }
            results
        })
    }

    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
        let tables = self.tables();
        let starts = |item: &ClaimItem| tables.rows.get(&item.identity).map_or(0, |row| row.attempts);
        let starts = Ok(items.iter().map(starts).collect());
        Box::pin(std::future::ready(starts))
    }

    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
        let tables = self.tables();
        let row = |item: &ClaimItem| tables.rows.get(&item.identity);
        let is = |item| row(item).is_some_and(|row| row.stands == Stands::Completed);
        let completed = Ok(items.iter().map(is).collect());
        Box::pin(std::future::ready(completed))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<String> {
        self.way.cut.load(Ordering::SeqCst).then(|| "it is away: mend it".to_owned())
    }
}

impl DeadLetters for Open {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let mut results = Vec::new();
            for Letter { message, identity, claim, .. } in batch {
                let (Some(identity), Some(claim)) = (identity, claim) else { continue };
                let ends = |tables: &mut Tables| {
                    tables.rows.remove(&identity);
                    tables.lettered.push(message.id().to_string());
                };
                results.push(self.end(identity, claim, ends).await);
            }
            results
        })
    }
}
