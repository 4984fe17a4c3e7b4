//! The ledger: an item for each message, and a condition for each write of it.

use crate::entry::{Condition, Entry, Fate, key_of, mark};
use crate::fault::Fault;
use crate::home::{Table, Written, has_expired, other_source};
use crate::workers::since_epoch;
use pelton_core::database::DatabaseUse;
use pelton_core::number::millis;
use pelton_core::points;
use pelton_core::ports::{Claim, ClaimItem, ErrorClass, Verdict};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;

/// Requests of one batch that are under way at once.
const AT_ONCE: usize = 64;
/// How often a claim is tried anew that others were quicker with.
const TRIES: usize = 5;
/// After this the message of another worker is asked for again.
const ELSEWHERE_MS: u64 = 1_000;
/// How long an item is kept where no keys are: a message that is redelivered is known by its attempts.
const KEPT_WITHOUT_KEYS: Duration = Duration::from_secs(14 * 86_400);

/// A claim that has not ended.
#[derive(Debug, Clone)]
struct Held {
    key: String,
    /// Its number in the table.
    claim: u64,
    attempts: u32,
}

/// How a claim ends.
pub(crate) struct ClaimEnd {
    pub(crate) fate: Fate,
    /// The start does not count.
    pub(crate) uncounts: bool,
}

/// The ledger of one pipeline.
pub(crate) struct DynamoLedger {
    pub(crate) table: Arc<Table>,
    wants: DatabaseUse,
    /// Its name was noted with its source.
    noted: OnceCell<()>,
    chunks: AtomicU64,
    live: Mutex<HashMap<Claim, Held>>,
}

impl DynamoLedger {
    pub(crate) fn new(table: Arc<Table>, wants: DatabaseUse) -> Self {
        let (noted, chunks, live) = (OnceCell::new(), AtomicU64::new(1), Mutex::default());
        Self { table, wants, noted, chunks, live }
    }

    pub(crate) fn name(&self) -> &str {
        &self.wants.ledger
    }

    /// An entry of this worker's, as it is written now.
    pub(crate) fn entry(&self, key: String, fate: Fate, claim: u64, attempts: u32) -> Entry {
        let now = since_epoch();
        let kept = self.wants.expires_after_ms.map_or(KEPT_WITHOUT_KEYS, Duration::from_millis);
        let worker = self.table.workers.id.clone();
        let expires = (now + kept).as_secs().saturating_add(1);
        Entry { key, fate, worker, claim, attempts, at_ms: millis(now), expires }
    }

    /// Before the first claim: others see this worker, and nobody else uses the name.
    async fn begin(&self) -> Result<(), Fault> {
        self.table.begin().await?;
        let note = async || {
            let (ledger, source) = (self.name(), self.wants.source.as_str());
            let noted = self.table.note_source(ledger, source).await?;
            noted.map_err(|noted| Fault::new(other_source(ledger, source, &noted)))
        };
        self.noted.get_or_try_init(note).await.map(drop)
    }

    pub(crate) async fn claim_all(
        self: Arc<Self>,
        items: Vec<ClaimItem>,
        alone: bool,
    ) -> Result<Vec<Verdict>, ErrorClass> {
        let away = |_| ErrorClass::Transient;
        self.table.heard(self.begin().await).map_err(away)?;
        points::reach("database-claiming");
        let chunk = self.chunks.fetch_add(1, Relaxed);
        let claim_one = {
            let me = self.clone();
            move |(index, item): (u32, ClaimItem)| {
                let me = me.clone();
                async move { me.claim_one(Claim { chunk, index }, &item, alone).await }
            }
        };
        let numbered = (0u32..).zip(items).collect();
        let lost = || Err(Fault::new("a claim has panicked".to_owned()));
        let answers = each(numbered, claim_one).await.into_iter().map(|one| one.unwrap_or_else(lost));
        let answers: Result<Vec<_>, Fault> = answers.collect();
        // What was written is this worker's still, and is found as that when it is claimed again.
        let answers = self.table.heard(answers).map_err(away)?;
        let mut live = self.live();
        let verdicts = answers.into_iter().map(|(verdict, held)| {
            if let (Verdict::Fresh { claim, .. }, Some(held)) = (&verdict, held) {
                live.insert(*claim, held);
            }
            verdict
        });
        let verdicts = verdicts.collect();
        points::reach("database-claimed");
        Ok(verdicts)
    }

    async fn claim_one(
        &self,
        claim: Claim,
        item: &ClaimItem,
        alone: bool,
    ) -> Result<(Verdict, Option<Held>), Fault> {
        let number = self.table.next_claim();
        let key = key_of(self.name(), item);
        let first = item.attempts.saturating_add(1);
        let (mut condition, mut attempts, mut crashed) = (Condition::is_new(), first, false);
        for _ in 0..TRIES {
            let entry = self.entry(key.clone(), Fate::Claimed, number, attempts);
            let there = match self.table.put(&entry, condition).await? {
                Written::Done => {
                    let held = Held { key, claim: number, attempts };
                    return Ok((Verdict::Fresh { claim, attempt: attempts, crashed }, Some(held)));
                }
                Written::Refused(there) => there,
            };
            let Some(there) = there else {
                (condition, attempts, crashed) = (Condition::is_new(), first, false);
                continue;
            };
            match self.judge(&there, item, alone).await? {
                Judged::Is(verdict) => return Ok((verdict, None)),
                // The request was made twice, and its first answer lost.
                Judged::Starts { .. } if there.worker == entry.worker && there.claim == number => {
                    let held = Held { key, claim: number, attempts: there.attempts };
                    return Ok((Verdict::Fresh { claim, attempt: there.attempts, crashed }, Some(held)));
                }
                Judged::Starts { attempt, crash } => {
                    (condition, attempts, crashed) = (there.unchanged(), attempt, crash);
                }
            }
        }
        Ok((Verdict::Elsewhere { wait_ms: ELSEWHERE_MS }, None))
    }

    /// What an entry that is there means for a claim.
    async fn judge(&self, there: &Entry, item: &ClaimItem, alone: bool) -> Result<Judged, Fault> {
        let first = item.attempts.saturating_add(1);
        let again = there.attempts.max(item.attempts).saturating_add(1);
        let elsewhere = Judged::Is(Verdict::Elsewhere { wait_ms: ELSEWHERE_MS });
        Ok(match &there.fate {
            Fate::Free | Fate::Done | Fate::Lettered(_) if has_expired(there) => {
                Judged::Starts { attempt: first, crash: false }
            }
            Fate::Done if self.wants.expires_after_ms.is_some() => Judged::Is(Verdict::Duplicate),
            Fate::Done => Judged::Starts { attempt: first, crash: false },
            Fate::Lettered(known) if *known == mark(&item.message) => {
                Judged::Is(Verdict::AlreadyDeadLettered)
            }
            Fate::Lettered(_) => Judged::Starts { attempt: first, crash: false },
            Fate::Free => Judged::Starts { attempt: again, crash: false },
            Fate::Claimed if there.worker == self.table.workers.id && self.is_live(there) => elsewhere,
            // Its answer was lost, so that nothing was started.
            Fate::Claimed if there.worker == self.table.workers.id => {
                Judged::Starts { attempt: there.attempts, crash: false }
            }
            Fate::Claimed => {
                let timeout = Duration::from_millis(self.wants.claim_timeout_ms);
                let client = self.table.client().await;
                match self.table.workers.is_dead(client, &there.worker, timeout).await? {
                    true if alone => Judged::Starts { attempt: again, crash: true },
                    true => Judged::Is(Verdict::Suspect),
                    false => elsewhere,
                }
            }
        })
    }

    /// Ends a claim. One that was taken over ends nothing.
    pub(crate) async fn end(&self, claim: Claim, ending: &ClaimEnd) -> Result<(), ErrorClass> {
        let held = self.live().get(&claim).cloned();
        let Some(held) = held else { return Err(ErrorClass::LeaseLost) };
        let attempts = held.attempts.saturating_sub(u32::from(ending.uncounts));
        let entry = self.entry(held.key, ending.fate.clone(), held.claim, attempts);
        let condition = Condition::is_mine(&entry.worker, entry.claim);
        let written = self.table.heard(self.table.put(&entry, condition).await);
        let written = written.map_err(|_| ErrorClass::Transient)?;
        self.live().remove(&claim);
        match written {
            Written::Done => Ok(()),
            // Asked twice, and the first answer was lost.
            Written::Refused(Some(there))
                if (&there.worker, there.claim, &there.fate)
                    == (&entry.worker, entry.claim, &entry.fate) =>
            {
                Ok(())
            }
            Written::Refused(_) => Err(ErrorClass::LeaseLost),
        }
    }

    fn is_live(&self, there: &Entry) -> bool {
        self.live().values().any(|held| held.claim == there.claim)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Claim, Held>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of these; nothing of what has expired.
    pub(crate) async fn look(
        self: Arc<Self>,
        items: Vec<ClaimItem>,
    ) -> Result<Vec<Option<Entry>>, ErrorClass> {
        let me = self.clone();
        let look = move |item: ClaimItem| {
            let me = me.clone();
            async move { me.table.read(&key_of(me.name(), &item)).await }
        };
        let lost = || Err(Fault::new("a look at the ledger has panicked".to_owned()));
        let read: Result<Vec<_>, Fault> =
            each(items, look).await.into_iter().map(|one| one.unwrap_or_else(lost)).collect();
        let read = self.table.heard(read).map_err(|_| ErrorClass::Transient)?;
        let entry =
            |item: Option<_>| item.as_ref().and_then(Entry::read).filter(|entry| !has_expired(entry));
        Ok(read.into_iter().map(entry).collect())
    }
}

/// What an entry that is there means for a claim.
enum Judged {
    Is(Verdict),
    Starts { attempt: u32, crash: bool },
}

/// Does the same with each, some at once; none for what has panicked. In their order.
pub(crate) async fn each<T, R, F>(items: Vec<T>, work: impl Fn(T) -> F) -> Vec<Option<R>>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut tasks = JoinSet::new();
    for (place, item) in items.into_iter().enumerate() {
        let (room, work) = (room.clone(), work(item));
        tasks.spawn(async move {
            // Nobody closes it.
            let _turn = room.acquire().await;
            (place, work.await)
        });
    }
    while let Some(done) = tasks.join_next().await {
        if let Ok((place, result)) = done {
            results[place] = Some(result);
        }
    }
    results
}
