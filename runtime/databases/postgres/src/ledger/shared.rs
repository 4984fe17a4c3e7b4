//! What the parts of one pipeline's ledger share.

use super::claim::{ClaimJob, claim};
use super::ending::{EndJob, end};
use super::lane::Lane;
use super::unanswered::Unanswered;
use super::{Incarnation, LiveClaims, noted};
use crate::client::{Fault, Sessions};
use crate::effects::{EffectJob, Kept, commit_all};
use pelton_core::database::DatabaseUse;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Between two tries to note a name.
const NOTING: Duration = Duration::from_secs(2);

/// What the parts of one pipeline's ledger share.
pub struct PipelineLedger {
    /// Connections for exchanges of our own.
    pub sessions: Arc<Sessions>,
    /// Who this worker is.
    pub incarnation: Arc<Incarnation>,
    /// What the pipeline wants.
    pub wants: DatabaseUse,
    /// Claims that have not ended.
    pub live: LiveClaims,
    number: OnceCell<i16>,
    /// Why this pipeline may not use the ledger of its name.
    refused: Mutex<Option<String>>,
    /// Claims whose answers never came.
    pub unanswered: Unanswered,
    /// The ways to what claims, and to what ends claims.
    pub claims: Lane<ClaimJob>,
    /// See `claims`.
    pub ends: Lane<EndJob>,
    /// See `claims`: to what commits calls that ran no statements.
    pub(crate) effects: Lane<EffectJob>,
    /// The state and the outbox of the database.
    pub(crate) kept: Arc<Kept>,
}

impl PipelineLedger {
    /// Of a pipeline. Within the runtime or not.
    pub(crate) fn new(kept: Arc<Kept>, incarnation: Arc<Incarnation>, wants: DatabaseUse) -> Arc<Self> {
        let sessions = kept.sessions.clone();
        let runtime = sessions.server().runtime().clone();
        let me = Arc::new_cyclic(|me: &Weak<Self>| {
            incarnation.joined_by(me.clone(), wants.claim_timeout_ms);
            let (one, other, third) = (me.clone(), me.clone(), me.clone());
            let claims = Lane::begin(&runtime, move |jobs| with(one.upgrade(), jobs, claim));
            let ends = Lane::begin(&runtime, move |jobs| with(other.upgrade(), jobs, end));
            let effects = Lane::begin(&runtime, move |jobs| with(third.upgrade(), jobs, commit_all));
            Self {
                sessions,
                incarnation,
                wants,
                live: LiveClaims::default(),
                number: OnceCell::new(),
                refused: Mutex::default(),
                unanswered: Unanswered::default(),
                claims,
                ends,
                effects,
                kept,
            }
        });
        drop(runtime.spawn(notes(Arc::downgrade(&me))));
        me
    }

    /// The number of the pipeline in the tables, noted when it is first asked for.
    ///
    /// # Errors
    /// The database is away, or the name is of another source.
    pub async fn number(&self) -> Result<i16, Fault> {
        let noting = async {
            let noted = noted::note(&self.sessions, &self.wants).await;
            let refused = noted.as_ref().err().filter(|fault| fault.is_refusal());
            *lock(&self.refused) = refused.map(|fault| fault.words.clone());
            noted
        };
        self.number.get_or_try_init(|| noting).await.copied()
    }

    /// Why nothing can be claimed or completed now, in words.
    pub fn trouble(&self) -> Option<String> {
        let refused = lock(&self.refused).clone();
        refused.or_else(|| self.incarnation.trouble()).or_else(|| self.sessions.server().health().trouble())
    }
}

/// Notes the name as soon as the database is there: one that is refused is told at the start, and not with
/// the first message.
async fn notes(shared: Weak<PipelineLedger>) {
    loop {
        let Some(me) = shared.upgrade() else { return };
        match me.number().await {
            Ok(_) => return,
            Err(fault) if fault.is_refusal() => {
                tracing::error!(ledger = %me.wants.ledger, "{fault}");
                return;
            }
            Err(fault) => tracing::debug!(ledger = %me.wants.ledger, "not noted yet: {fault}"),
        }
        drop(me);
        tokio::time::sleep(NOTING).await;
    }
}

/// Nobody waits for the rest of a ledger that nobody has any more.
async fn with<J, F: Future<Output = ()>>(
    shared: Option<Arc<PipelineLedger>>,
    jobs: Vec<J>,
    exchange: impl Fn(Arc<PipelineLedger>, Vec<J>) -> F,
) {
    if let Some(shared) = shared {
        exchange(shared, jobs).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
