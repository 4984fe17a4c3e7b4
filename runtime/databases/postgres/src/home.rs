//! A database that a worker has open: one for all its pipelines.

use crate::client::{Server, Sessions};
use crate::config::Limits;
use crate::effects::Kept;
use crate::ledger::{Incarnation, PipelineLedger, prunes};
use crate::outbox::PostgresOutbox;
use crate::pipeline::Part;
use crate::steering;
use pelton_core::broker::OpenError;
use pelton_core::database::{
    DatabaseHome, DatabasePipeline, DatabaseUse, SteeringChange, SteeringError, WorkerIdentity,
};
use pelton_core::effects::{Bucket, OutboxHome, StateHome, Target};
use pelton_core::ports::BoxFuture;
use std::sync::Arc;

/// Connections that the ledgers, state and outboxes of a worker share. Those of handlers are beside them.
pub const OWN_CONNECTIONS: usize = 8;

/// An open database.
pub struct PostgresHome {
    /// Connections for exchanges of our own.
    pub(crate) sessions: Arc<Sessions>,
    /// Who this worker is to the database.
    pub(crate) incarnation: Arc<Incarnation>,
    kept: Arc<Kept>,
    limits: Limits,
}

impl PostgresHome {
    /// Opens it; nothing is connected before it is needed.
    pub(crate) fn open(
        server: Arc<Server>,
        worker: WorkerIdentity,
        limits: Limits,
    ) -> Arc<dyn DatabaseHome> {
        let sessions = Arc::new(Sessions::new(server, OWN_CONNECTIONS));
        let kept = Kept::new(sessions.clone(), &worker.data_dir);
        let incarnation = Incarnation::new(sessions.clone(), worker);
        drop(sessions.server().runtime().spawn(prunes(Arc::downgrade(&sessions))));
        Arc::new(Self { sessions, incarnation, kept, limits })
    }
}

impl DatabaseHome for PostgresHome {
    fn pipeline(&self, wants: DatabaseUse) -> Result<Arc<dyn DatabasePipeline>, OpenError> {
        let shared = PipelineLedger::new(self.kept.clone(), self.incarnation.clone(), wants);
        Ok(Arc::new(Part::new(shared, self.limits)))
    }

    fn state(&self) -> Option<Arc<dyn StateHome>> {
        Some(self.kept.state.clone())
    }

    fn outbox(&self) -> Option<Arc<dyn OutboxHome>> {
        Some(Arc::new(PostgresOutbox(self.kept.outlets.clone())))
    }

    fn bucket(&self, ledger: Option<&str>, store: &str) -> Bucket {
        self.kept.bucket(ledger, store)
    }

    fn target(&self, ledger: &str, name: &str) -> Target {
        self.kept.target(ledger, name)
    }

    fn steering(
        &self,
        ledgers: Vec<Arc<str>>,
    ) -> BoxFuture<'_, Result<Vec<Option<String>>, SteeringError>> {
        Box::pin(steering::read(&self.sessions, ledgers))
    }

    fn steer(
        &self,
        ledger: Arc<str>,
        change: SteeringChange,
    ) -> BoxFuture<'_, Result<bool, SteeringError>> {
        Box::pin(steering::steer(&self.sessions, ledger, change))
    }

    fn trouble(&self) -> Option<String> {
        self.incarnation.trouble().or_else(|| self.sessions.server().health().trouble())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.kept.outlets.close().await;
            self.incarnation.clone().close().await;
        })
    }
}
