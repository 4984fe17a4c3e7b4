//! What commands ask the database that a pipeline has its ledger in.

use super::Fail;
use crate::config::{Config, PipelineConfig};
use crate::control::steering::SteeringStatus;
use crate::homes;
use crate::worker::assemble::database_fail;
use crate::worker::store::store_fail;
use pelton_core::broker::OpenError;
use pelton_core::database::{DatabaseBooks, FleetStatus, KnownMessage, SteeringChange};
use pelton_core::ports::ClaimItem;
use pelton_store::Store;
use std::sync::Arc;

/// The ledger of a pipeline that shares it with others.
pub struct FleetLedger<'c> {
    pipeline: &'c PipelineConfig,
    books: Box<dyn DatabaseBooks>,
    /// What numbers the messages of a queue of this data directory.
    data_dir: Arc<str>,
}

impl<'c> FleetLedger<'c> {
    /// None where the ledger is in the data directory. Blocks.
    pub fn open(config: &Config, pipeline: &'c PipelineConfig) -> Result<Option<Self>, Fail> {
        let Some(home) = &pipeline.ledger.home else { return Ok(None) };
        let data_dir = Store::data_dir_id_in(&config.data_dir).map_err(store_fail)?;
        let books = home.database.books().map_err(|error| database_fail(pipeline, error))?;
        Ok(Some(Self { pipeline, books, data_dir: data_dir.unwrap_or_default() }))
    }

    /// What is known of a key, or of the place that it names, wherever a message of that kind may come from.
    pub fn known(&mut self, key: &[u8]) -> Result<Option<KnownMessage>, Fail> {
        for item in self.items(key)? {
            let known = self.books.known(&self.pipeline.ledger.name, &item);
            if let Some(known) = known.map_err(|error| self.fail(error))? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// Forgets it; whether anything was known.
    pub fn forget(&mut self, key: &[u8]) -> Result<bool, Fail> {
        let mut was_known = false;
        for item in self.items(key)? {
            let gone = self.books.forget(&self.pipeline.ledger.name, &item);
            was_known |= gone.map_err(|error| self.fail(error))?;
        }
        Ok(was_known)
    }

    /// How it stands.
    pub fn status(&mut self) -> Result<FleetStatus, OpenError> {
        self.books.status(&self.pipeline.ledger.name)
    }

    /// How many letters are kept beside it.
    pub fn letter_count(&mut self) -> Result<u64, OpenError> {
        self.books.letter_count(&self.pipeline.ledger.name)
    }

    /// What operators want of the pipeline, on every worker.
    pub fn steering(&mut self) -> Result<SteeringStatus, OpenError> {
        let text = self.books.steering(&self.pipeline.ledger.name)?;
        SteeringStatus::read(text.as_deref()).map_err(OpenError::Refused)
    }

    /// Changes it; how it was, and how it is.
    pub fn steer(
        &mut self,
        edit: impl Fn(&SteeringStatus) -> SteeringStatus,
    ) -> Result<(SteeringStatus, SteeringStatus), Fail> {
        let ledger = self.pipeline.ledger.name.as_str();
        loop {
            let before = self.books.steering(ledger).map_err(|error| self.fail(error))?;
            let known = SteeringStatus::read(before.as_deref()).unwrap_or_default();
            let now = edit(&known);
            let change = SteeringChange { before, after: now.written() };
            // Another may have been quicker: then it is read again.
            if self.books.steer(ledger, &change).map_err(|error| self.fail(error))? {
                return Ok((known, now));
            }
        }
    }

    fn items(&self, key: &[u8]) -> Result<Vec<ClaimItem>, Fail> {
        homes::items(self.pipeline, &self.data_dir, key).map_err(Fail::refused)
    }

    fn fail(&self, error: OpenError) -> Fail {
        database_fail(self.pipeline, error)
    }
}
