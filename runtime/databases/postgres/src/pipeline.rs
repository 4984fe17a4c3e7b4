//! What the database keeps of one pipeline.

use crate::config::Limits;
use crate::ledger::{PipelineLedger, PostgresLedger, PostgresLetters};
use crate::sql::{PostgresSql, SqlSettings};
use pelton_core::database::{DatabasePipeline, DatabaseUse};
use pelton_core::effects::Database;
use pelton_core::ports::{DeadLetters, Ledger};
use std::sync::Arc;
use std::time::Duration;

/// One pipeline's part of a database.
pub struct Part {
    shared: Arc<PipelineLedger>,
    sql: Option<Arc<PostgresSql>>,
}

impl Part {
    /// Of a ledger.
    pub fn new(shared: Arc<PipelineLedger>, limits: Limits) -> Self {
        let sql = (shared.wants.connections > 0).then(|| {
            let server = shared.sessions.server().clone();
            Arc::new(PostgresSql::new(server, settings(&shared.wants, limits)))
        });
        Self { shared, sql }
    }
}

/// What its handlers may have.
fn settings(wants: &DatabaseUse, limits: Limits) -> SqlSettings {
    let call = Duration::from_millis(wants.timeout_ms);
    SqlSettings {
        connections: limits.connections,
        per_chunk: wants.per_chunk,
        statement_timeout: limits.statement_timeout.unwrap_or(call),
        // When others may take over what a worker had that stands still, they may have its locks too.
        idle_timeout: Duration::from_millis(wants.claim_timeout_ms).max(call * 2),
        max_rows: u32::try_from(limits.rows).unwrap_or(u32::MAX),
        max_result: limits.result,
    }
}

impl DatabasePipeline for Part {
    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(PostgresLedger::new(self.shared.clone(), false))
    }

    fn redoing(&self) -> Option<Arc<dyn Ledger>> {
        Some(Arc::new(PostgresLedger::new(self.shared.clone(), true)))
    }

    fn sql(&self) -> Option<Arc<dyn Database>> {
        let sql: Arc<dyn Database> = self.sql.clone()?;
        Some(sql)
    }

    fn noted(&self) -> Arc<dyn DeadLetters> {
        Arc::new(PostgresLetters::noted(self.shared.clone()))
    }

    fn kept(&self) -> Option<Arc<dyn DeadLetters>> {
        let kept = || Arc::new(PostgresLetters::kept(self.shared.clone()));
        let kept: Arc<dyn DeadLetters> = self.shared.wants.letters.then(kept)?;
        Some(kept)
    }
}
