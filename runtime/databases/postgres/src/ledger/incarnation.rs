//! Who this worker is to the database: a row of `pelton_workers` with a heartbeat. Others may take over what
//! it has claimed once the heartbeat is older than the pipeline's `claim_timeout` by the database's clock; at
//! once where it has ended in order, or where a later start of the same data directory has taken its place.

use super::{PipelineLedger, unanswered};
use crate::client::{Ask, Fault, Kind, QUICK, Session, Sessions};
use crate::schema;
use pelton_core::database::WorkerIdentity;
use pelton_core::shown::shown;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use tokio_postgres::types::Type;

/// Between two heartbeats, at most and at least: a quarter of the shortest claim timeout.
const BEATS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(100));
/// How long the end of a worker may take to be noted.
const CLOSING: Duration = Duration::from_secs(3);

const REGISTER: &str = "WITH before AS (UPDATE pelton_workers SET ended = 'died' \
    WHERE data_dir = $1 AND ended IS NULL) \
    INSERT INTO pelton_workers (data_dir, name) VALUES ($1, $2) RETURNING number";
/// What it has claimed now is for people who look: nothing is decided by it.
const BEAT: &str = "UPDATE pelton_workers SET heartbeat = now(), claimed = jsonb_object($2::text[], \
    $3::text[]) \
    WHERE number = $1 AND ended IS NULL RETURNING number";
const NEWER: &str = "SELECT name FROM pelton_workers WHERE data_dir = $1 AND number > $2 AND ended IS NULL \
    AND heartbeat > now() - interval '1 minute' ORDER BY number DESC LIMIT 1";
const CLOSE: &str = "UPDATE pelton_workers SET ended = 'closed' WHERE number = $1 AND ended IS NULL";

/// This incarnation of the worker.
pub struct Incarnation {
    sessions: Arc<Sessions>,
    worker: WorkerIdentity,
    /// Numbers of claims: none is used twice by one incarnation.
    claims: AtomicI64,
    /// Between two heartbeats, in milliseconds.
    beat_ms: AtomicU64,
    /// Held while the database is asked who this is.
    asking: tokio::sync::Mutex<Option<Session>>,
    state: Mutex<IncarnationState>,
    ledgers: Mutex<Vec<Weak<PipelineLedger>>>,
    beating: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, Default)]
struct IncarnationState {
    number: Option<i32>,
    /// When the heartbeat that the database has was sent.
    beaten: Option<Instant>,
    /// The worker that runs with a copy of this data directory.
    superseded: Option<String>,
    closed: bool,
}

impl Incarnation {
    /// One that the database does not know yet. Within the runtime: it begins to tell the database.
    pub fn new(sessions: Arc<Sessions>, worker: WorkerIdentity) -> Arc<Self> {
        let me = Arc::new(Self {
            sessions,
            worker,
            claims: AtomicI64::new(1),
            beat_ms: AtomicU64::new(ms(BEATS.0)),
            asking: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            ledgers: Mutex::default(),
            beating: Mutex::default(),
        });
        let beating = me.sessions.server().runtime().spawn(beats(Arc::downgrade(&me)));
        *lock(&me.beating) = Some(beating.abort_handle());
        me
    }

    /// A pipeline joins, and says how long it waits for a worker that is not heard of.
    pub fn joined_by(&self, ledger: Weak<PipelineLedger>, claim_timeout_ms: u64) {
        lock(&self.ledgers).push(ledger);
        let least = (claim_timeout_ms / 4).clamp(ms(BEATS.1), ms(BEATS.0));
        self.beat_ms.fetch_min(least, Ordering::Relaxed);
    }

    /// A number for a claim.
    pub fn next_claim(&self) -> i64 {
        self.claims.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of this worker, if the database has heard of it lately enough for whoever waits so long:
    /// else it is told first.
    ///
    /// # Errors
    /// It cannot be told, or another runs in this worker's place.
    pub async fn number(&self, claim_timeout_ms: u64) -> Result<i32, Fault> {
        let young = Duration::from_millis(claim_timeout_ms / 2);
        let known = {
            let state = self.state();
            state.number.filter(|_| state.beaten.is_some_and(|beaten| beaten.elapsed() < young))
        };
        match known {
            Some(number) => Ok(number),
            None => self.beat().await,
        }
    }

    /// Tells the database that this worker is there.
    async fn beat(&self) -> Result<i32, Fault> {
        let mut session = self.asking.lock().await;
        if self.state().closed {
            return Err(Fault::new(Kind::Away, "this worker is ending"));
        }
        // It has a connection of its own: the others may wait for locks.
        if session.as_ref().is_none_or(Session::is_closed) {
            *session = Some(self.sessions.server().connect(Duration::from_millis(300)).await?);
        }
        let told = match session.as_ref() {
            Some(session) => self.heartbeat(session).await,
            None => Err(Fault::no_answer()),
        };
        if told.is_err() {
            *session = None;
        }
        told
    }

    async fn heartbeat(&self, session: &Session) -> Result<i32, Fault> {
        let sent = Instant::now();
        let known = self.state().number;
        if let Some(number) = known {
            let (ledgers, counts) = self.claimed();
            let parameters = [
                (&number as _, Type::INT4),
                (&ledgers as _, Type::TEXT_ARRAY),
                (&counts as _, Type::TEXT_ARRAY),
            ];
            let beaten = ask(session, &Ask { sql: BEAT, parameters: &parameters }).await?;
            if !beaten.is_empty() {
                self.is_known(number, sent);
                return Ok(number);
            }
            let data_dir = &*self.worker.data_dir;
            let newer = [(&data_dir as _, Type::TEXT), (&number as _, Type::INT4)];
            let newer = ask(session, &Ask { sql: NEWER, parameters: &newer }).await?;
            if let Some(row) = newer.first() {
                return Err(self.is_superseded(row.try_get(0)?));
            }
            tracing::warn!(
                "the database took this worker for dead and has forgotten it; it begins again there. What \
                 it had \
                 claimed may be others' by now"
            );
        }
        schema::is_usable(session).await?;
        let who = [(&&*self.worker.data_dir as _, Type::TEXT), (&self.worker.name as _, Type::TEXT)];
        let registered = ask(session, &Ask { sql: REGISTER, parameters: &who }).await?;
        let row = registered.first().ok_or_else(|| Fault::new(Kind::Statement, "no number was given"))?;
        let number = row.try_get(0)?;
        self.is_known(number, sent);
        Ok(number)
    }

    /// The ledgers that are in use, and how many messages of each are claimed.
    fn claimed(&self) -> (Vec<String>, Vec<String>) {
        let mut all = lock(&self.ledgers);
        all.retain(|ledger| ledger.strong_count() > 0);
        let mut claimed = BTreeMap::new();
        for ledger in all.iter().filter_map(Weak::upgrade) {
            *claimed.entry(ledger.wants.ledger.to_string()).or_insert(0) += ledger.live.count();
        }
        claimed.into_iter().map(|(name, count)| (name, count.to_string())).unzip()
    }

    /// Gives back what was claimed and never answered. The heartbeat does not wait for it: there may be
    /// locks.
    fn give_back(&self, number: i32) {
        let ledgers: Vec<Arc<PipelineLedger>> =
            lock(&self.ledgers).iter().filter_map(Weak::upgrade).collect();
        for ledger in ledgers.into_iter().filter(|ledger| !ledger.unanswered.is_empty()) {
            drop(self.sessions.server().runtime().spawn(async move {
                if let Err(fault) = unanswered::give_back(&ledger, number).await {
                    ledger.sessions.server().failed(&fault);
                }
            }));
        }
    }

    fn is_known(&self, number: i32, sent: Instant) {
        let mut state = self.state();
        (state.number, state.beaten, state.superseded) = (Some(number), Some(sent), None);
    }

    fn is_superseded(&self, by: String) -> Fault {
        let words = format!(
            "the worker {} has begun with a copy of this data directory, and two cannot have one name; give \
             each \
             worker a `data_dir` of its own",
            shown(&by)
        );
        let mut state = self.state();
        if state.superseded.is_none() {
            tracing::error!("{words}");
        }
        (state.beaten, state.superseded) = (None, Some(words.clone()));
        Fault::new(Kind::Refused, words)
    }

    /// Why it can claim nothing, in words.
    pub fn trouble(&self) -> Option<String> {
        self.state().superseded.clone()
    }

    /// The worker ends in order.
    pub async fn close(self: Arc<Self>) {
        self.state().closed = true;
        if let Some(beating) = lock(&self.beating).take() {
            beating.abort();
        }
        let me = self.clone();
        let closing = self.sessions.server().runtime().spawn(async move {
            let known = me.state().number;
            let Some(number) = known else { return Ok(()) };
            let mut held = me.asking.lock().await;
            let close = Ask { sql: CLOSE, parameters: &[(&number, Type::INT4)] };
            let told = match held.take().filter(|session| !session.is_closed()) {
                Some(session) => ask(&session, &close).await.map(drop),
                None => me.sessions.transaction(QUICK, &[close]).await.map(drop),
            };
            me.sessions.close_idle();
            told
        });
        match tokio::time::timeout(CLOSING, closing).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(fault))) => not_told(&fault.words),
            Ok(Err(_)) | Err(_) => not_told("it does not answer"),
        }
    }

    fn state(&self) -> MutexGuard<'_, IncarnationState> {
        lock(&self.state)
    }
}

fn not_told(why: &str) {
    tracing::warn!(
        "the database could not be told that this worker ends ({why}): what it had claimed is taken over \
         once \
         `claim_timeout` has passed"
    );
}

async fn ask(session: &Session, ask: &Ask<'_>) -> Result<Vec<tokio_postgres::Row>, Fault> {
    let limit = Duration::from_secs(10);
    let answer = tokio::time::timeout(limit, session.client.query_typed(ask.sql, ask.parameters)).await;
    match answer {
        Ok(rows) => Ok(rows?),
        Err(_) => {
            session.abandon();
            Err(Fault::no_answer())
        }
    }
}

/// Tells the database again and again, as long as the worker is there.
async fn beats(worker: Weak<Incarnation>) {
    loop {
        let Some(me) = worker.upgrade() else { return };
        match me.beat().await {
            Ok(number) => me.give_back(number),
            Err(fault) if fault.kind != Kind::Refused => drop(me.sessions.server().failed(&fault)),
            Err(_) => {}
        }
        let pause = Duration::from_millis(me.beat_ms.load(Ordering::Relaxed));
        drop(me);
        tokio::time::sleep(pause).await;
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        if let Some(beating) = lock(&self.beating).take() {
            beating.abort();
        }
    }
}

fn ms(duration: Duration) -> u64 {
    pelton_core::number::millis(duration)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
