//! A worker of a fleet, as its database knows it: a home and a pipeline's part of it, without the worker.

use crate::postgres::Db;
use crate::settings::Table;
use pelton_core::Letter;
use pelton_core::database::{DatabaseConfig, DatabaseHome, DatabasePipeline, DatabaseUse, WorkerIdentity};
use pelton_core::message::{Message, Parts};
use pelton_core::outcome::{Cause, Failure};
use pelton_core::ports::{Claim, ClaimItem, Completion, ErrorClass, Ledger, Release, Verdict};
use pelton_core::{Identity, Position};
use pelton_postgres::PostgresConfig;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// One that has the database open. Dropped, it ends as a process does that is killed: its connections end,
/// and nobody says a word.
pub struct Member {
    /// The home.
    pub home: Arc<dyn DatabaseHome>,
    /// The pipeline's part.
    pub pipeline: Arc<dyn DatabasePipeline>,
    runtime: Option<Runtime>,
}

/// As the configuration of a worker has it.
#[must_use]
pub fn configured(db: &Db) -> PostgresConfig {
    pelton_postgres::configure(&Table::default().with("url", db.url()), None)
}

/// What the pipeline `orders` wants.
#[must_use]
pub fn wants(claim_timeout_ms: u64) -> DatabaseUse {
    DatabaseUse {
        ledger: "orders".into(),
        source: "the tests' queue".to_owned(),
        expires_after_ms: Some(14 * 86_400_000),
        claim_timeout_ms,
        connections: 0,
        timeout_ms: 30_000,
        per_chunk: false,
        letters: false,
        state: false,
        outbox: false,
    }
}

impl Member {
    /// One with a data directory of its own, by this name.
    ///
    /// # Panics
    /// When the database could never be used like that.
    #[must_use]
    pub fn open(config: &PostgresConfig, name: &str, wants: DatabaseUse) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let identity = WorkerIdentity { data_dir: name.into(), name: name.to_owned() };
        let (home, pipeline) = {
            let _within = runtime.enter();
            let home = config.open(&identity).expect("it can be used");
            let pipeline = home.pipeline(wants).expect("it can be used");
            (home, pipeline)
        };
        Self { home, pipeline, runtime: Some(runtime) }
    }

    /// Waits for something of it.
    ///
    /// # Panics
    /// Within a runtime.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it lives").block_on(future)
    }

    /// Its ledger.
    #[must_use]
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        self.pipeline.ledger()
    }

    /// Claims messages as one chunk.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn claim(&self, items: &[ClaimItem], alone: bool) -> Result<Vec<Verdict>, ErrorClass> {
        self.wait(self.ledger().claim(items.to_vec(), alone))
    }

    /// Claims one message.
    ///
    /// # Panics
    /// When the ledger is away.
    #[must_use]
    pub fn claim_one(&self, item: &ClaimItem) -> Verdict {
        self.claim(std::slice::from_ref(item), true).expect("the ledger answers")[0]
    }

    /// Whether the ledger answers, and grants a message.
    #[must_use]
    pub fn is_granted(&self, item: &ClaimItem) -> bool {
        let claimed = self.claim(std::slice::from_ref(item), true);
        claimed.is_ok_and(|verdicts| matches!(verdicts[0], Verdict::Fresh { .. }))
    }

    /// Claims one message that must be granted: the claim, and the number of the start.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn start(&self, item: &ClaimItem) -> (Claim, u32) {
        match self.claim_one(item) {
            Verdict::Fresh { claim, attempt, .. } => (claim, attempt),
            other => panic!("{} was to be granted, and is {other:?}", item.message.id()),
        }
    }

    /// Completes a claim.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn complete(&self, item: &ClaimItem, claim: Claim) -> Result<(), ErrorClass> {
        let batch = vec![completion(item, claim)];
        self.wait(self.ledger().complete(batch))[0]
    }

    /// Completes a claim of a ledger that may be away for a while, as the engine does.
    ///
    /// # Errors
    /// Those of the ledger that do not pass.
    pub fn complete_in_the_end(&self, item: &ClaimItem, claim: Claim) -> Result<(), ErrorClass> {
        crate::wait::until("the ledger is there again", || match self.complete(item, claim) {
            Err(ErrorClass::Transient) => None,
            result => Some(result),
        })
    }

    /// Releases a claim.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn release(&self, item: &ClaimItem, claim: Claim, counts: bool) -> Result<(), ErrorClass> {
        let release = Release { claim, identity: item.identity, counts, settle: None };
        self.wait(self.ledger().release(vec![release]))[0]
    }

    /// It ends in order.
    pub fn close(self) {
        self.wait(self.home.close());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The completion of a claim, without effects.
#[must_use]
pub fn completion(item: &ClaimItem, claim: Claim) -> Completion {
    Completion { claim, identity: item.identity, skipped: 0, settle: None, effects: None, after: None }
}

/// The message at an offset of the only partition.
#[must_use]
pub fn placed(offset: u64) -> ClaimItem {
    let name = format!("orders/0/{offset}");
    ClaimItem {
        identity: Identity::Position(Position { partition: 0, offset }),
        message: Message::new(Parts { key: Some(b"k"), body: b"body", ..Parts::named(&name) }),
        attempts: 0,
        scope: Some(Arc::from("the tests' topic")),
    }
}

/// A letter of it.
#[must_use]
pub fn letter(item: &ClaimItem, claim: Option<Claim>) -> Letter {
    Letter {
        message: item.message.clone(),
        identity: Some(item.identity),
        scope: item.scope.clone(),
        claim,
        skipped: 0,
        settle: None,
        cause: Cause::RetriesExhausted,
        failure: Failure::Trap,
        reason: "no\0 such order".to_owned(),
        attempts: 5,
        handler: "sha256:none".into(),
    }
}
