//! A worker of a fleet, as far as its state and outbox go.

use pelton_core::broker::Settings;
use pelton_core::database::{DatabaseConfig, DatabaseHome, DatabaseUse, WorkerIdentity};
use pelton_core::effects::{
    Bucket, Database, Effects, OutboxHome, Staged, StagedMessage, StateHome, Target,
};
use pelton_core::ports::{Claim, ClaimItem, Completion, ErrorClass, Ledger, Verdict};
use pelton_core::{Identity, Message, Parts};
use pelton_postgres::PostgresConfig;
use pelton_tests::postgres::{Db, Postgres};
use pelton_tests::wait::POLL_INTERVAL;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The server of all tests that run at a time: it ends with the last of them.
pub fn server() -> Arc<Postgres> {
    static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::with_options("-c track_commit_timestamp=on"));
        *running = Arc::downgrade(&server);
        server
    })
}

/// A database with the tables in it.
pub fn made(server: &Postgres) -> Db {
    let db = server.database();
    config(&db).init().expect("the tables can be made");
    db
}

pub fn config(db: &Db) -> PostgresConfig {
    pelton_postgres::configure(&Table(BTreeMap::from([("url", db.url())])), None)
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("it is there")
}

/// One worker, with the ledger `orders`, the store `default` and the target `audit`.
pub struct Worker {
    pub home: Arc<dyn DatabaseHome>,
    pub ledger: Arc<dyn Ledger>,
    pub state: Arc<dyn StateHome>,
    pub outbox: Arc<dyn OutboxHome>,
    pub sql: Arc<dyn Database>,
    pub bucket: Bucket,
    pub target: Target,
}

impl Worker {
    /// Within a runtime.
    pub fn open(db: &Db, data_dir: &str) -> Self {
        let identity = WorkerIdentity { data_dir: data_dir.into(), name: data_dir.to_owned() };
        let home = config(db).open(&identity).expect("it is there");
        let part = home.pipeline(wants()).expect("it is there");
        let sql = part.sql().expect("its handlers run statements");
        let (state, outbox) = (home.state().expect("it keeps some"), home.outbox().expect("it keeps one"));
        let (bucket, target) = (home.bucket(Some("orders"), "default"), home.target("orders", "audit"));
        Self { ledger: part.ledger(), home, state, outbox, sql, bucket, target }
    }

    /// Claims a message of this id; none of one that is completed.
    pub async fn claim(&self, id: &str) -> Option<(Claim, Identity)> {
        let message = Message::new(Parts::named(id));
        let identity = Identity::Key(pelton_store::digest(id.as_bytes()));
        let item = ClaimItem { identity, message, attempts: 0, scope: None };
        loop {
            match self.ledger.claim(vec![item.clone()], false).await.map(|verdicts| verdicts[0]) {
                Ok(Verdict::Fresh { claim, .. }) => return Some((claim, identity)),
                Ok(Verdict::Duplicate) => return None,
                Ok(_) | Err(_) => pause().await,
            }
        }
    }

    /// Completes it with what was staged.
    pub async fn complete(
        &self,
        (claim, identity): (Claim, Identity),
        effects: Effects,
    ) -> Result<(), ErrorClass> {
        effects.show_by(&*self.state);
        let completion = Completion {
            claim,
            identity,
            skipped: 0,
            settle: None,
            effects: Staged::of(effects, 1),
            after: None,
        };
        loop {
            match self.ledger.complete(vec![completion.clone()]).await[0] {
                Err(ErrorClass::Transient) => pause().await,
                told => return told,
            }
        }
    }

    pub fn message(&self, id: &str, key: Option<&str>, body: String) -> StagedMessage {
        StagedMessage {
            target: self.target,
            id: id.into(),
            topic: None,
            key: key.map(Into::into),
            headers: vec![pelton_core::Header::new("a", "1")],
            body: body.into_bytes(),
            delay_ms: None,
        }
    }
}

fn wants() -> DatabaseUse {
    DatabaseUse {
        ledger: "orders".into(),
        source: "test".to_owned(),
        expires_after_ms: Some(86_400_000),
        claim_timeout_ms: 300_000,
        connections: 4,
        timeout_ms: 30_000,
        per_chunk: false,
        letters: false,
        state: true,
        outbox: true,
    }
}

/// Between two looks.
pub async fn pause() {
    let never = tokio::time::timeout(POLL_INTERVAL, std::future::pending::<()>());
    assert!(never.await.is_err());
}

/// A table of the configuration.
struct Table(BTreeMap<&'static str, String>);

impl Settings for Table {
    fn has(&self, key: &'static str) -> bool {
        self.0.contains_key(key)
    }

    fn text(&self, key: &'static str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn texts(&self, _: &'static str) -> Vec<String> {
        Vec::new()
    }

    fn duration(&self, _: &'static str, default: Duration) -> Duration {
        default
    }

    fn number(&self, _: &'static str, _: RangeInclusive<u64>, default: u64) -> u64 {
        default
    }

    fn size(&self, _: &'static str, default: usize) -> usize {
        default
    }

    fn flag(&self, _: &'static str, default: bool) -> bool {
        default
    }

    fn choice(&self, _: &'static str, _: &[&str], default: usize) -> usize {
        default
    }

    fn table(&self, _: &'static str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn problem(&self, key: &str, what: String) {
        panic!("{key} {what}");
    }
}
