//! The outbox as relays see it.

use super::rows;
use super::targets::Targets;
use crate::db::Readers;
use crate::error::{StoreError, class_of};
use crate::writer::{ChangeList, Writer, changed};
use pelton_core::contain::contain;
use pelton_core::effects::{Backlog, OutboxHome, RowEnd, Target, Waiting};
use pelton_core::ports::{BoxFuture, ErrorClass};
use std::sync::{Arc, PoisonError};

/// The outbox of a data directory.
pub struct DataDirOutbox {
    pub readers: Arc<Readers>,
    pub targets: Arc<Targets>,
    pub writer: Arc<Writer>,
}

impl DataDirOutbox {
    async fn page(&self, target: Target, after: u64, max: usize) -> Result<Vec<Waiting>, ErrorClass> {
        if self.writer.failed().is_some() {
            return Err(ErrorClass::Permanent);
        }
        let reader = self.readers.of(target.0);
        let read = tokio::task::spawn_blocking(move || {
            contain(|| {
                let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
                rows::page(&db, target, after, max)
            })
        });
        let page = match read.await {
            Ok(Ok(page)) => page,
            Ok(Err(panicked)) => panicked.at("the outbox".to_owned()).resume(),
            Err(ended) => {
                let ended = StoreError::Stopped(ended.to_string());
                tracing::debug!(%ended, "the outbox is read no more");
                return Err(ended.class());
            }
        };
        page.map_err(|error| {
            let class = class_of(&error);
            if class == ErrorClass::Permanent {
                self.writer.fail(format!("the outbox cannot be read: {error}"));
            } else {
                tracing::warn!(%error, "the outbox cannot be read; trying again");
            }
            class
        })
    }
}

impl OutboxHome for DataDirOutbox {
    fn waiting(
        &self,
        target: Target,
        after: u64,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiting>, ErrorClass>> {
        Box::pin(self.page(target, after, max))
    }

    /// A row that an operator has purged meanwhile has ended too.
    fn ended(&self, rows: Vec<(u64, RowEnd)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        changed(&self.writer, ChangeList::Ended(rows))
    }

    fn backlog(&self, target: Target) -> Backlog {
        self.targets.of(target).map(|open| open.backlog()).unwrap_or_default()
    }

    fn committed(&self, target: Target) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.targets.of(target) {
                Some(open) => open.committed().await,
                // Nobody sends to one that was never opened.
                None => std::future::pending().await,
            }
        })
    }
}
