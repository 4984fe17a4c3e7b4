//! No state and no database: where a component is only looked at.

use pelton_core::effects::{
    Bucket, Database, Shown, SqlError, Stamp, StateError, StateHome, Transaction, Value, Write,
};
use pelton_core::ports::BoxFuture;
use std::sync::Arc;

/// Nothing is there, and nothing is kept.
pub struct NoState;

fn none<T: Send + 'static>() -> BoxFuture<'static, Result<T, StateError>> {
    let why = "there is no state while a component is only looked at".to_owned();
    Box::pin(std::future::ready(Err(StateError(why))))
}

impl StateHome for NoState {
    fn read<'a>(&'a self, _: Bucket, _: &'a [Vec<u8>]) -> BoxFuture<'a, Result<Vec<Value>, StateError>> {
        none()
    }

    fn keys<'a>(
        &'a self,
        _: Bucket,
        _: Option<&'a [u8]>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, StateError>> {
        none()
    }

    fn size(&self, _: Bucket) -> BoxFuture<'_, Result<u64, StateError>> {
        none()
    }

    fn stamp(&self) -> Stamp {
        Stamp::ABSENT
    }

    fn show(&self, _: &[Write]) -> Shown {
        Shown::by(())
    }
}

/// Nothing is run.
pub struct NoDatabase;

impl Database for NoDatabase {
    fn begin(&self, _: usize) -> BoxFuture<'_, Result<Arc<dyn Transaction>, SqlError>> {
        let why = "there is no database while a component is only looked at".to_owned();
        Box::pin(std::future::ready(Err(SqlError::Unavailable(why))))
    }
}
