//! State and outbox: what calls have staged commits with the rows of their messages, and is kept here.

mod ask;
mod batch;
mod names;
mod steps;
mod touched;

pub(crate) use ask::{Command, Parameter, ask, exchange};
pub(crate) use batch::{EffectJob, commit_all, commit_alone};
pub(crate) use names::{Names, NumberOf, make_store};
pub(crate) use steps::Steps;

use crate::client::{Fault, Sessions};
use crate::outbox::Outlets;
use crate::state::PostgresState;
use pelton_core::effects::{Bucket, Effects, Target};
use std::sync::Arc;
use std::time::Duration;

/// How long a call waits for one whose writes it has read, and between two looks at the rows.
const BEHIND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// What a worker knows of the state and the outbox that one database keeps.
pub(crate) struct Kept {
    pub sessions: Arc<Sessions>,
    pub names: Arc<Names>,
    pub state: Arc<PostgresState>,
    pub outlets: Arc<Outlets>,
}

impl Kept {
    /// Of a worker, by the id of its data directory. Nothing is asked yet.
    pub fn new(sessions: Arc<Sessions>, data_dir: &Arc<str>) -> Arc<Self> {
        let names = Arc::new(Names::default());
        let state = Arc::new(PostgresState::new(sessions.clone(), names.clone()));
        let outlets = Outlets::new(sessions.clone(), names.clone(), data_dir.clone());
        Arc::new(Self { sessions, names, state, outlets })
    }

    /// The statements that commit what one call has staged, in their order: to be run in its transaction,
    /// before the commit.
    ///
    /// # Errors
    /// The database does not tell what its stores and targets are numbered.
    pub async fn steps(&self, effects: &Effects) -> Result<Steps, Fault> {
        let targets = effects.messages.iter().map(|message| message.target);
        let numbers = self.names.numbers(&self.sessions, touched::buckets(effects), targets).await?;
        Ok(Steps::of_call(effects, &numbers))
    }

    /// Waits until what a call has read of others here is committed, or never will be: its own commit would
    /// only find that it is not there yet. For a bounded time.
    pub async fn follows(&self, effects: &Effects) {
        if tokio::time::timeout(BEHIND, self.state.nothing_ahead(effects)).await.is_err() {
            tracing::debug!(
                "what a message has read of state is not committed for long: it waits no longer"
            );
        }
    }

    /// What a call has staged is committed: relays are told.
    pub fn committed(&self, effects: &Effects) {
        self.outlets.added(effects.messages.iter().map(|message| message.target));
    }

    /// A store of state, by a number of this process.
    pub fn bucket(&self, ledger: Option<&str>, store: &str) -> Bucket {
        Bucket(self.names.bucket(ledger.unwrap_or_default(), store))
    }

    /// A target, by a number of this process.
    pub fn target(&self, ledger: &str, name: &str) -> Target {
        let target = Target(self.names.target(ledger, name));
        self.outlets.open(target);
        target
    }
}
