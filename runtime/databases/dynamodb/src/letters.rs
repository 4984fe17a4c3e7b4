//! The ledger's part in letters that are kept elsewhere.

use crate::entry::Fate;
use crate::entry::{key, mark};
use crate::fault::Fault;
use crate::ledger::{ClaimEnd, DynamoLedger, each};
use pelton_core::Letter;
use pelton_core::ports::{BoxFuture, DeadLetters, ErrorClass};
use std::sync::Arc;

/// To be told of letters once they are durable where they are.
pub(crate) struct Noted(pub(crate) Arc<DynamoLedger>);

impl DeadLetters for Noted {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let ledger = self.0.clone();
        Box::pin(async move {
            let note = move |letter| note(ledger.clone(), letter);
            let noted = each(batch, note).await;
            noted.into_iter().map(|one| one.unwrap_or(Err(ErrorClass::LeaseLost))).collect()
        })
    }
}

async fn note(ledger: Arc<DynamoLedger>, letter: Letter) -> Result<(), ErrorClass> {
    let fate = Fate::Lettered(mark(&letter.message));
    if let Some(claim) = letter.claim {
        return ledger.end(claim, &ClaimEnd { fate, uncounts: false }).await;
    }
    // One that is invalid is known by nothing.
    let Some(identity) = letter.identity else { return Ok(()) };
    let key = key(ledger.name(), identity, &letter.message, letter.scope.as_ref());
    let entry = ledger.entry(key, fate, 0, letter.attempts);
    let written: Result<(), Fault> = ledger.table.put_over(&entry).await;
    ledger.table.heard(written).map_err(|_| ErrorClass::Transient)
}
