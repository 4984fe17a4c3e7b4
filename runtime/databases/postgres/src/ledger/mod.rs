//! The ledger of one pipeline, in tables that all workers of a fleet share.
//!
//! A row of `pelton_processed` is what is known of one message. Its `state` is `w` in work, `r` in work again
//! though it was completed before, `d` done, `f` free. `worker` and `claim` say whose it is or was: whoever
//! ends a claim has to match both, which is what fences a worker that stood still.

mod claim;
mod commit;
mod complete;
mod ending;
mod held;
mod incarnation;
mod judge;
mod key;
mod lane;
mod noted;
mod prune;
mod publish;
mod shared;
mod standing;
mod unanswered;

pub use commit::{Call, CallEnd};
pub use ending::{COMPLETE, Rows};
pub use held::{Held, LiveClaims};
pub use incarnation::Incarnation;
pub use key::Key;
pub use lane::Weighs;
pub use noted::other_source;
pub use prune::prunes;
pub use publish::PostgresLetters;
pub use shared::PipelineLedger;

use crate::client::{Ask, Fault, QUICK};
use claim::ClaimJob;
use ending::End;
use pelton_core::ports::{BoxFuture, ClaimItem, Completion, ErrorClass, Ledger, Release, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_postgres::types::Type;

const READ: &str = "SELECT p.key, p.state, p.attempts FROM unnest($2::uuid[]) AS m(key) \
    JOIN pelton_processed p ON p.pipeline = $1 AND p.key = m.key";

/// The port.
#[derive(Clone)]
pub struct PostgresLedger {
    shared: Arc<PipelineLedger>,
    redo: bool,
}

impl PostgresLedger {
    /// Over what the parts of a pipeline share. With `redo` nothing is a duplicate: for an operator who has
    /// messages handled again. What it completes is completed as ever.
    pub fn new(shared: Arc<PipelineLedger>, redo: bool) -> Self {
        Self { shared, redo }
    }

    /// Reads what is known of messages: for each its state, and its attempts; none where nothing is known.
    async fn read(&self, items: Vec<ClaimItem>) -> Result<Vec<Option<(i8, i32)>>, ErrorClass> {
        let keys: Vec<Key> = items
            .iter()
            .map(|item| Key::of(item.scope.as_deref(), Some(item.identity), &item.message))
            .collect();
        let shared = self.shared.clone();
        let reading = self.shared.sessions.server().runtime().spawn(async move {
            let known =
                read(&shared, &keys).await.map_err(|fault| shared.sessions.server().failed(&fault))?;
            Ok(keys.iter().map(|key| known.get(key).copied()).collect())
        });
        reading.await.unwrap_or(Err(ErrorClass::Transient))
    }
}

async fn read(shared: &PipelineLedger, keys: &Vec<Key>) -> Result<HashMap<Key, (i8, i32)>, Fault> {
    let pipeline = shared.number().await?;
    let parameters = [(&pipeline as _, Type::INT2), (keys as _, Type::UUID_ARRAY)];
    let rows = shared.sessions.transaction(QUICK, &[Ask { sql: READ, parameters: &parameters }]).await?;
    let row = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
    rows.iter().flatten().map(row).collect()
}

impl Ledger for PostgresLedger {
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        let (answer, answered) = oneshot::channel();
        self.shared.claims.ask(ClaimJob { items, alone, redo: self.redo, answer });
        Box::pin(async move { answered.await.unwrap_or(Err(ErrorClass::Transient)) })
    }

    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        complete::complete(&self.shared, batch)
    }

    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let ends = batch.into_iter().map(|release| {
            let held = self.shared.live.get(release.claim);
            held.map(|held| (release.claim, held, End::Release { counts: release.counts }))
        });
        ending::end_live(&self.shared, ends.collect())
    }

    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
        let count = |known: Option<(i8, i32)>| {
            known.map_or(0, |(_, attempts)| u32::try_from(attempts).unwrap_or_default())
        };
        Box::pin(async move { Ok(self.read(items).await?.into_iter().map(count).collect()) })
    }

    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
        let is_done = |known: Option<(i8, i32)>| {
            known.is_some_and(|(state, _)| matches!(state, judge::state::DONE | judge::state::REDONE))
        };
        Box::pin(async move { Ok(self.read(items).await?.into_iter().map(is_done).collect()) })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }
}
