//! A store in a folder of its own, and short ways to say what a driver does.

use crate::{
    EmbeddedSource, Options, PipelineOptions, PipelineStatus, PipelineStore, Store, WallClock, ledger_key,
};
use pelton_core::broker::Outgoing;
use pelton_core::outcome::Failure;
use pelton_core::ports::{
    Claim, ClaimItem, Completion, DeadLetters, ErrorClass, Ledger, Release, Settle, Source, Verdict,
};
use pelton_core::{Cause, Delivery, Identity, Letter};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// The name of the pipeline and of its queue.
pub const NAME: &str = "orders";

/// A wall clock that a test sets.
#[derive(Default)]
pub struct Wall(AtomicU64);

impl Wall {
    pub fn at(now_ms: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now_ms)))
    }

    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl WallClock for Wall {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A worker's hold on a directory. The source comes first, so that it ends first.
pub struct Worker {
    pub source: EmbeddedSource,
    pub ledger: PipelineStore,
    pub store: Store,
}

pub fn options() -> PipelineOptions {
    PipelineOptions {
        dedup: true,
        expires_after_ms: 86_400_000,
        dead_letter_queue: None,
        letters_by_cause: Vec::new(),
        handler_digest: "sha256:none".into(),
        former_key: None,
        elsewhere: false,
    }
}

impl Worker {
    pub fn open(dir: &Path) -> Self {
        Self::of(Store::open_owner(dir, Options::default()).unwrap(), options())
    }

    pub fn at(dir: &Path, clock: Arc<Wall>) -> Self {
        let store = Store::open_owner(dir, Options { clock, ..Options::default() }).unwrap();
        Self::of(store, options())
    }

    pub fn of(store: Store, options: PipelineOptions) -> Self {
        let ledger = store.pipeline(NAME, options).unwrap();
        let source = store.queue(&ledger, NAME).unwrap();
        Self { source, ledger, store }
    }

    pub async fn receive(&self, max: usize) -> Vec<Delivery> {
        self.source.receive(max, 64 << 20).await.unwrap()
    }

    pub async fn take(&self, count: usize) -> Vec<Delivery> {
        let mut held = Vec::new();
        while held.len() < count {
            held.extend(self.receive(count - held.len()).await);
        }
        held
    }

    pub async fn claim(&self, deliveries: &[Delivery], alone: bool) -> Result<Vec<Verdict>, ErrorClass> {
        let item = |d: &Delivery| ClaimItem {
            identity: identity(d),
            message: d.message.clone(),
            attempts: 0,
            scope: None,
        };
        self.ledger.claim(deliveries.iter().map(item).collect(), alone).await
    }

    /// Claims that must all be granted.
    pub async fn start(&self, deliveries: &[Delivery]) -> Vec<Claim> {
        let granted = self.claim(deliveries, false).await.unwrap();
        granted.into_iter().map(|v| claim_of(v).unwrap()).collect()
    }

    pub async fn complete(&self, d: &Delivery, claim: Claim) -> Result<(), ErrorClass> {
        let item = Completion {
            claim,
            identity: identity(d),
            skipped: d.skipped,
            settle: Some(d.receipt),
            effects: None,
            after: None,
        };
        self.ledger.complete(vec![item]).await[0]
    }

    pub async fn retry(&self, d: &Delivery, claim: Claim, delay_ms: u64) {
        let settle = Some((d.receipt, Settle::RetryLater { delay_ms }));
        let item = Release { claim, identity: identity(d), counts: true, settle };
        assert_eq!(self.ledger.release(vec![item]).await, [Ok(())]);
    }

    pub async fn settle(&self, d: &Delivery, how: Settle) {
        assert_eq!(self.source.settle(vec![(d.receipt, how)]).await, [Ok(())]);
    }

    pub async fn bury(&self, d: &Delivery, claim: Claim) -> Result<(), ErrorClass> {
        self.ledger.publish(vec![letter(d, claim)]).await[0]
    }

    /// Gives up on what waits, as an operator does.
    pub async fn skip(&self, d: &Delivery) {
        let letter = Letter { claim: None, ..letter(d, Claim { chunk: 0, index: 0 }) };
        assert_eq!(self.ledger.publish(vec![letter]).await, [Ok(())]);
    }

    pub fn send(&self, batch: &[Outgoing<'_>]) -> Vec<String> {
        send(&self.store, batch)
    }

    pub fn status(&self) -> PipelineStatus {
        self.store.status(NAME, Some(NAME), None).unwrap()
    }
}

pub fn send(store: &Store, batch: &[Outgoing<'_>]) -> Vec<String> {
    store.send(NAME, batch).unwrap().into_iter().map(Result::unwrap).collect()
}

pub fn letter(d: &Delivery, claim: Claim) -> Letter {
    Letter {
        message: d.message.clone(),
        identity: Some(identity(d)),
        scope: None,
        claim: Some(claim),
        skipped: d.skipped,
        settle: Some(d.receipt),
        cause: Cause::Rejected,
        failure: Failure::Reject,
        reason: "no".to_owned(),
        attempts: 1,
        handler: "sha256:none".into(),
    }
}

pub fn identity(d: &Delivery) -> Identity {
    match d.position {
        Some(position) => Identity::Position(position),
        None => Identity::Key(ledger_key(d.message.id().text().as_bytes())),
    }
}

pub fn claim_of(verdict: Verdict) -> Option<Claim> {
    match verdict {
        Verdict::Fresh { claim, .. } => Some(claim),
        _ => None,
    }
}

/// Messages with these bodies.
pub fn plain(bodies: &[&str]) -> Vec<Outgoing<'static>> {
    bodies.iter().map(|body| Outgoing::of(body.as_bytes().to_vec())).collect()
}

pub fn numbers(range: std::ops::Range<usize>) -> Vec<Outgoing<'static>> {
    range.map(|n| Outgoing::of(n.to_string().into_bytes())).collect()
}

/// Messages of one lane with these bodies.
pub fn keyed(key: &str, bodies: &[&str]) -> Vec<Outgoing<'static>> {
    let key = || Some(key.as_bytes().to_vec().into());
    plain(bodies).into_iter().map(|m| Outgoing { key: key(), ..m }).collect()
}

pub fn with_id(id: &str) -> Outgoing<'_> {
    Outgoing { id: Some(id.into()), ..Outgoing::default() }
}

pub fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|d| String::from_utf8_lossy(d.message.body()).into_owned()).collect()
}

/// The files as they are now: what a killed process would leave behind.
pub fn copy_of(from: &Path) -> TempDir {
    let copy = dir();
    for name in ["pelton.db", "pelton.db-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}
