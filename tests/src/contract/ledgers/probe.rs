//! What cases work with: workers that have a ledger open, and short ways to say what an engine does.

use super::{LedgerDescription, LedgerFixture, LedgerWorker};
use pelton_core::message::{Name, Parts};
use pelton_core::outcome::{Cause, Failure};
use pelton_core::ports::{Claim, ClaimItem, Completion, ErrorClass, Release, Verdict};
use pelton_core::{Identity, Letter, Message, Position};
use pelton_store::ledger_key;
use std::sync::Arc;
use std::time::Duration;

/// Waits before something is asked again that passes.
pub async fn again() {
    after(Duration::from_millis(10)).await;
}

/// Waits until something is to happen that is part of a case.
pub async fn after(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A ledger with one worker that has it open, and others where it is shared.
pub struct LedgerProbe {
    fixture: Box<dyn LedgerFixture>,
    /// What it can do.
    pub can: LedgerDescription,
    /// The first worker.
    pub one: LedgerUser,
}

/// A worker, and what it does with the ledger.
pub struct LedgerUser(pub Box<dyn LedgerWorker>);

impl LedgerProbe {
    /// Looks at a fixture.
    pub async fn new(mut fixture: Box<dyn LedgerFixture>, can: LedgerDescription) -> Self {
        let one = LedgerUser(fixture.worker().await);
        Self { fixture, can, one }
    }

    /// One more worker.
    pub async fn another(&mut self) -> LedgerUser {
        LedgerUser(self.fixture.worker().await)
    }
}

/// The message of this number, with its number as its key.
#[must_use]
pub fn keyed(number: usize) -> ClaimItem {
    keyed_as(number, number)
}

/// The message of this number, with a key that others may have too.
#[must_use]
pub fn keyed_as(number: usize, key: usize) -> ClaimItem {
    ClaimItem {
        identity: Identity::Key(ledger_key(format!("key-{key}").as_bytes())),
        message: Message::new(Parts::named(&format!("m-{number}"))),
        attempts: 0,
        scope: Some(Arc::from("the tests' queue")),
    }
}

/// The message at a place of the only partition.
#[must_use]
pub fn placed(offset: u64) -> ClaimItem {
    let name = format!("orders/0/{offset}");
    ClaimItem {
        identity: Identity::Position(Position { partition: 0, offset }),
        message: Message::new(Parts { name: Name::Text(&name), ..Parts::default() }),
        attempts: 0,
        scope: Some(Arc::from("the tests' topic")),
    }
}

impl LedgerUser {
    /// Claims messages as one chunk.
    ///
    /// # Panics
    /// When the ledger is away.
    pub async fn claim(&self, items: &[ClaimItem], alone: bool) -> Vec<Verdict> {
        let verdicts = self.0.ledger().claim(items.to_vec(), alone).await.expect("the ledger answers");
        assert_eq!(verdicts.len(), items.len(), "one verdict for each item");
        verdicts
    }

    /// Claims one message.
    pub async fn claim_one(&self, item: &ClaimItem, alone: bool) -> Verdict {
        self.claim(std::slice::from_ref(item), alone).await[0]
    }

    /// Claims one message that must be granted: the claim, the number of its start, and whether the start
    /// before died.
    ///
    /// # Panics
    /// When it is not.
    pub async fn start(&self, item: &ClaimItem, alone: bool) -> (Claim, u32, bool) {
        match self.claim_one(item, alone).await {
            Verdict::Fresh { claim, attempt, crashed } => (claim, attempt, crashed),
            other => panic!("{} was to be granted, and is {other:?}", item.message.id()),
        }
    }

    /// Claims a suspect alone until nobody else has it any more.
    ///
    /// # Panics
    /// When it is neither elsewhere nor granted.
    pub async fn take_over(&self, item: &ClaimItem) -> (Claim, u32, bool) {
        loop {
            match self.claim_one(item, true).await {
                Verdict::Fresh { claim, attempt, crashed } => return (claim, attempt, crashed),
                Verdict::Elsewhere { wait_ms } => {
                    assert!(wait_ms > 0, "a wait of nothing");
                    again().await;
                }
                other => panic!("{} was to be taken over, and is {other:?}", item.message.id()),
            }
        }
    }

    /// Completes claims in one batch.
    pub async fn complete_all(&self, all: &[(&ClaimItem, Claim)]) -> Vec<Result<(), ErrorClass>> {
        let results = self.0.ledger().complete(all.iter().map(completion).collect()).await;
        assert_eq!(results.len(), all.len(), "one result for each item");
        results
    }

    /// Completes a claim.
    pub async fn complete(&self, item: &ClaimItem, claim: Claim) -> Result<(), ErrorClass> {
        self.complete_all(&[(item, claim)]).await[0]
    }

    /// Completes a claim of a ledger that may be away for a while, as the engine does.
    pub async fn complete_in_the_end(&self, item: &ClaimItem, claim: Claim) -> Result<(), ErrorClass> {
        loop {
            match self.complete(item, claim).await {
                Err(ErrorClass::Transient) => again().await,
                result => return result,
            }
        }
    }

    /// Releases a claim.
    pub async fn release(&self, item: &ClaimItem, claim: Claim, counts: bool) -> Result<(), ErrorClass> {
        let release = Release { claim, identity: item.identity, counts, settle: None };
        self.0.ledger().release(vec![release]).await[0]
    }

    /// Ends the claim of a message that has a letter.
    pub async fn publish(&self, item: &ClaimItem, claim: Claim) -> Result<(), ErrorClass> {
        let letter = Letter {
            message: item.message.clone(),
            identity: Some(item.identity),
            scope: item.scope.clone(),
            claim: Some(claim),
            skipped: 0,
            settle: None,
            cause: Cause::Rejected,
            failure: Failure::Reject,
            reason: "because the case says so".to_owned(),
            attempts: 1,
            handler: "sha256:none".into(),
        };
        self.0.letters().publish(vec![letter]).await[0]
    }

    /// The worker dies, and is started again with its data directory.
    pub async fn crash(&mut self) {
        self.0.die().await;
        self.0.begin().await;
    }
}

fn completion((item, claim): &(&ClaimItem, Claim)) -> Completion {
    Completion {
        claim: *claim,
        identity: item.identity,
        skipped: 0,
        settle: None,
        effects: None,
        after: None,
    }
}
