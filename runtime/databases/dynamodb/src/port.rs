//! The ledger as the driver calls it. Whatever is asked goes on though a future of it is dropped.

use crate::entry::Fate;
use crate::ledger::{ClaimEnd, DynamoLedger, each};
use pelton_core::points;
use pelton_core::ports::{BoxFuture, Claim, ClaimItem, Completion, ErrorClass, Ledger, Release, Verdict};
use std::sync::Arc;

pub(crate) struct Port(pub(crate) Arc<DynamoLedger>);

impl Port {
    fn end(&self, endings: Vec<(Claim, ClaimEnd)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let ledger = self.0.clone();
        let end = move |(claim, ending): (Claim, ClaimEnd)| {
            let ledger = ledger.clone();
            async move { ledger.end(claim, &ending).await }
        };
        Box::pin(async move {
            points::reach("database-completing");
            let ended = each(endings, end).await;
            points::reach("database-completed");
            ended.into_iter().map(|one| one.unwrap_or(Err(ErrorClass::Transient))).collect()
        })
    }
}

impl Ledger for Port {
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        Box::pin(self.0.clone().claim_all(items, alone))
    }

    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let done = |one: Completion| {
            debug_assert!(one.effects.is_none(), "the configuration allows no effects beside this ledger");
            (one.claim, ClaimEnd { fate: Fate::Done, uncounts: false })
        };
        self.end(batch.into_iter().map(done).collect())
    }

    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let free = |one: Release| (one.claim, ClaimEnd { fate: Fate::Free, uncounts: !one.counts });
        self.end(batch.into_iter().map(free).collect())
    }

    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
        let look = self.0.clone().look(items);
        Box::pin(async move {
            let known = look.await?;
            Ok(known.into_iter().map(|entry| entry.map_or(0, |entry| entry.attempts)).collect())
        })
    }

    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
        let look = self.0.clone().look(items);
        Box::pin(async move {
            let known = look.await?;
            Ok(known.into_iter().map(|entry| entry.is_some_and(|entry| entry.fate == Fate::Done)).collect())
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<String> {
        self.0.table.trouble()
    }
}
