//! The table's part of one pipeline.

use crate::ledger::DynamoLedger;
use crate::letters::Noted;
use crate::port::Port;
use pelton_core::database::DatabasePipeline;
use pelton_core::effects::Database;
use pelton_core::ports::{DeadLetters, Ledger};
use std::sync::Arc;

pub(crate) struct Pipeline(pub(crate) Arc<DynamoLedger>);

impl DatabasePipeline for Pipeline {
    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(Port(self.0.clone()))
    }

    fn sql(&self) -> Option<Arc<dyn Database>> {
        None
    }

    fn noted(&self) -> Arc<dyn DeadLetters> {
        Arc::new(Noted(self.0.clone()))
    }

    fn kept(&self) -> Option<Arc<dyn DeadLetters>> {
        None
    }
}
