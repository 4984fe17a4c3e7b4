//! The data directory as a home that people look at.

use crate::{Store, StoreError};
use pelton_core::broker::OpenError;
use pelton_core::effects::{
    Bucket, HomeBooks, KnownTarget, OutboxLetter, OutboxLetterFilter, Purge, StateEntry, Target, Waiting,
};

fn fail(error: StoreError) -> OpenError {
    OpenError::Books(error.into())
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl HomeBooks for Store {
    fn known_bucket(&self, owner: Option<&str>, store: &str) -> Result<Option<Bucket>, OpenError> {
        Self::known_bucket(self, owner.unwrap_or_default(), store, owner.is_none()).map_err(fail)
    }

    fn make_bucket(&self, owner: Option<&str>, store: &str) -> Result<Bucket, OpenError> {
        self.bucket(owner.unwrap_or_default(), store, owner.is_none()).map_err(fail)
    }

    fn state_keys(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, OpenError> {
        Self::state_keys(self, bucket, after, max).map_err(fail)
    }

    fn state_entries(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<StateEntry>, OpenError> {
        Self::state_entries(self, bucket, after, max).map_err(fail)
    }

    fn state_get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Vec<u8>>, OpenError> {
        Self::state_get(self, bucket, key).map_err(fail)
    }

    fn state_size(&self, bucket: Bucket) -> Result<u64, OpenError> {
        Self::state_size(self, bucket).map_err(fail)
    }

    fn state_set(&self, bucket: Bucket, entries: &[StateEntry]) -> Result<(), OpenError> {
        Self::state_set(self, bucket, entries).map_err(fail)
    }

    fn state_delete(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Result<u64, OpenError> {
        Self::state_delete(self, bucket, keys).map(number).map_err(fail)
    }

    fn targets(&self, owner: &str) -> Result<Vec<KnownTarget>, OpenError> {
        Self::targets(self, owner).map_err(fail)
    }

    fn waiting_targets(&self) -> Result<Vec<KnownTarget>, OpenError> {
        Self::waiting_targets(self).map_err(fail)
    }

    fn waiting(&self, target: Target, after: u64, max: usize) -> Result<Vec<Waiting>, OpenError> {
        self.outbox(target, after, max).map_err(fail)
    }

    fn purge(&self, target: Target, rows: Purge<'_>) -> Result<u64, OpenError> {
        self.purge_outbox(target, rows).map_err(fail)
    }

    fn letters(&self, owner: &str, filter: &OutboxLetterFilter) -> Result<Vec<OutboxLetter>, OpenError> {
        self.outbox_letters(owner, filter).map_err(fail)
    }

    fn last_letter(&self, owner: &str) -> Result<Option<u64>, OpenError> {
        self.last_outbox_letter(owner).map_err(fail)
    }

    fn replay_letters(&self, letters: &[u64]) -> Result<u64, OpenError> {
        self.replay_outbox(letters).map(number).map_err(fail)
    }

    fn purge_letters(&self, letters: &[u64]) -> Result<u64, OpenError> {
        self.purge_outbox_letters(letters).map(number).map_err(fail)
    }
}
