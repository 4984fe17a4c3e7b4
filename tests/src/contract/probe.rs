//! What cases work with: a source under test, and short ways to say what a driver does.

use super::{Description, Fixture, Outgoing, Ports};
use pelton_core::outcome::{Cause, Failure};
use pelton_core::ports::{Claim, ClaimItem, Completion, ErrorClass, Release, Settle, Verdict};
use pelton_core::watermark::Watermark;
use pelton_core::{Delivery, Identity, Letter, Message, Receipt};
use pelton_store::ledger_key;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that one receive may bring, unless a case is about that.
const ROOM: usize = 64 << 20;

/// A source with its ledger, and its description.
pub struct Probe {
    fixture: Box<dyn Fixture>,
    /// What it can do.
    pub can: Description,
    /// The ports, as they are open now.
    pub ports: Ports,
    /// Another source of the kind, for cases that need one.
    pub another: Option<Box<Probe>>,
    /// What may be settled of a source that settles up to a position, by partition.
    marks: Mutex<BTreeMap<u32, Watermark>>,
}

impl Probe {
    /// Looks at a fixture.
    #[must_use]
    pub fn new(fixture: Box<dyn Fixture>, can: Description) -> Self {
        let ports = fixture.ports();
        Self { fixture, can, ports, another: None, marks: Mutex::default() }
    }

    /// With another of the kind beside it.
    #[must_use]
    pub fn beside(self, fixture: Box<dyn Fixture>) -> Self {
        let another = Some(Box::new(Self::new(fixture, self.can)));
        Self { another, ..self }
    }

    /// Sends as another process does; the messages' ids.
    pub async fn send(&self, batch: Vec<Outgoing>) -> Vec<String> {
        let count = batch.len();
        let ids = self.fixture.send(batch).await;
        assert_eq!(ids.len(), count, "one id for each message sent");
        ids
    }

    /// What a delivery is known by to whoever sent it: its id, or its body where nobody is told the ids.
    pub fn name(&self, delivery: &Delivery) -> String {
        self.name_of(&delivery.message)
    }

    /// The same of a message.
    pub fn name_of(&self, message: &Message) -> String {
        if self.can.named {
            message.id().to_string()
        } else {
            String::from_utf8_lossy(message.body()).into_owned()
        }
    }

    /// The names of deliveries, sorted.
    pub fn names(&self, deliveries: &[Delivery]) -> BTreeSet<String> {
        deliveries.iter().map(|d| self.name(d)).collect()
    }

    /// Sends plain messages with these numbers as their bodies.
    pub async fn send_numbers(&self, numbers: impl Iterator<Item = usize>) -> Vec<String> {
        let plain = |n: usize| Outgoing { body: n.to_string().into_bytes(), ..Outgoing::default() };
        self.send(numbers.map(plain).collect()).await
    }

    /// One receive; it waits for at least one message.
    pub async fn receive(&self, max: usize, max_bytes: usize) -> Vec<Delivery> {
        loop {
            match self.ports.source.receive(max, max_bytes).await {
                Ok(batch) if batch.is_empty() => {}
                Ok(batch) => {
                    self.heard(&batch);
                    return batch;
                }
                Err(ErrorClass::Transient) => {}
                Err(class) => panic!("the source cannot be received from: {class:?}"),
            }
        }
    }

    /// These were received: what comes after them in their partitions does not settle them.
    pub fn heard(&self, batch: &[Delivery]) {
        for delivery in batch.iter().filter(|_| self.can.source.cumulative) {
            let position = delivery.position.expect("what settles up to a position tells it");
            let mut marks = self.marks();
            marks.entry(position.partition).or_default().received(position.offset, delivery.receipt, ());
        }
    }

    fn marks(&self) -> MutexGuard<'_, BTreeMap<u32, Watermark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receipts that a driver acknowledges when it is done with these.
    fn passed(&self, deliveries: &[Delivery]) -> Vec<Receipt> {
        if !self.can.source.cumulative {
            return deliveries.iter().map(|d| d.receipt).collect();
        }
        let mut marks = self.marks();
        let mut pass = |d: &Delivery| {
            let position = d.position?;
            marks
                .entry(position.partition)
                .or_default()
                .settled(position.offset)
                .map(|(_, receipt)| receipt)
        };
        deliveries.iter().filter_map(&mut pass).collect()
    }

    /// Receives until `count` messages are held.
    pub async fn take(&self, count: usize) -> Vec<Delivery> {
        let mut held = Vec::new();
        while held.len() < count {
            held.extend(self.receive(count - held.len(), ROOM).await);
        }
        held
    }

    /// Receives one message.
    pub async fn take_one(&self) -> Delivery {
        self.take(1).await.remove(0)
    }

    /// Receives and settles as `how` says until `count` messages are acknowledged; their bodies, in
    /// the order of their acknowledgement. Once a message of a lane goes back, what follows it in
    /// the same batch goes back too, as a driver does it. What comes again because a crash was
    /// faster than its commit is known to the ledger, and not done again.
    pub async fn work_off(&self, count: usize, mut how: impl FnMut(&Delivery) -> Settle) -> Vec<String> {
        let mut done = Vec::new();
        while done.len() < count {
            let mut stopped = BTreeSet::new();
            for delivery in self.receive(count, ROOM).await {
                let waits = delivery.lane.is_some_and(|lane| stopped.contains(&lane));
                let how = if waits { Settle::GiveBack } else { how(&delivery) };
                match how {
                    Settle::Ack if self.is_done(&delivery).await => {}
                    Settle::Ack => done.push(text(&delivery)),
                    Settle::LeaveToRedrive { .. } => {}
                    Settle::RetryLater { .. } | Settle::GiveBack => stopped.extend(delivery.lane),
                }
                self.settle(&delivery, how).await;
            }
        }
        done
    }

    /// Whether the ledger knows a delivery as completed; it is completed now if it does not. Only
    /// where the source cannot settle it for itself.
    async fn is_done(&self, delivery: &Delivery) -> bool {
        if !self.can.source.cumulative {
            return false;
        }
        match self.claim(&[delivery], false).await[0] {
            Verdict::Fresh { claim, .. } => {
                assert_eq!(self.complete(delivery, claim, false).await, Ok(()));
                false
            }
            Verdict::Duplicate => true,
            other => panic!("{} was to be granted or known, and is {other:?}", delivery.message.id()),
        }
    }

    /// Settles one delivery, which must succeed.
    pub async fn settle(&self, delivery: &Delivery, how: Settle) {
        self.settle_all(std::slice::from_ref(delivery), how).await;
    }

    /// Settles many in one call.
    pub async fn settle_all(&self, deliveries: &[Delivery], how: Settle) {
        let receipts = match how {
            Settle::Ack => self.passed(deliveries),
            Settle::RetryLater { .. } | Settle::GiveBack | Settle::LeaveToRedrive { .. } => {
                deliveries.iter().map(|d| d.receipt).collect()
            }
        };
        let expected = vec![Ok(()); receipts.len()];
        let batch = receipts.into_iter().map(|receipt| (receipt, how)).collect();
        let results = self.ports.source.settle(batch).await;
        assert_eq!(results, expected, "{how:?} of {:?}", ids(deliveries));
    }

    /// Sees that nothing is left to deliver: what is sent now comes alone. Where the ledger is beside
    /// the source, what it knows may come with it.
    pub async fn nothing_is_left(&self) {
        let sent = self.send_numbers(std::iter::once(usize::MAX)).await;
        let mut found = Vec::new();
        while found.is_empty() {
            for delivery in self.receive(100, ROOM).await {
                if !self.is_known(&delivery).await {
                    found.push(self.name(&delivery));
                }
            }
        }
        assert_eq!(found, sent, "a message came that was not expected any more");
    }

    async fn is_known(&self, delivery: &Delivery) -> bool {
        let known = !self.can.source.shares_ledger
            && matches!(
                self.claim(&[delivery], false).await[0],
                Verdict::Duplicate | Verdict::AlreadyDeadLettered
            );
        if known {
            self.settle(delivery, Settle::Ack).await;
        }
        known
    }

    /// Claims deliveries as one chunk.
    pub async fn claim(&self, deliveries: &[&Delivery], alone: bool) -> Vec<Verdict> {
        let item = |d: &&Delivery| ClaimItem {
            identity: identity(d),
            message: d.message.clone(),
            attempts: 0,
            scope: None,
        };
        let verdicts = self.ports.ledger.claim(deliveries.iter().map(item).collect(), alone).await;
        let verdicts = verdicts.expect("the ledger answers");
        assert_eq!(verdicts.len(), deliveries.len(), "one verdict for each item");
        verdicts
    }

    /// Claims one delivery that must be granted: the claim, the number of its start, and whether the
    /// start before died.
    pub async fn start(&self, delivery: &Delivery, alone: bool) -> (Claim, u32, bool) {
        match self.claim(&[delivery], alone).await[0] {
            Verdict::Fresh { claim, attempt, crashed } => (claim, attempt, crashed),
            other => panic!("{} was to be granted, and is {other:?}", delivery.message.id()),
        }
    }

    /// Completes a claim; with `settle`, the delivery is acknowledged too, in the same transaction
    /// where that is possible.
    pub async fn complete(&self, d: &Delivery, claim: Claim, settle: bool) -> Result<(), ErrorClass> {
        let shared = self.can.source.shares_ledger && settle;
        let item = Completion {
            claim,
            identity: identity(d),
            skipped: d.skipped,
            settle: shared.then_some(d.receipt),
            effects: None,
            after: None,
        };
        let result = self.ports.ledger.complete(vec![item]).await[0];
        if settle && !shared && result.is_ok() {
            self.settle(d, Settle::Ack).await;
        }
        result
    }

    /// Releases a claim.
    pub async fn release(
        &self,
        d: &Delivery,
        claim: Claim,
        counts: bool,
        settle: Option<Settle>,
    ) -> Result<(), ErrorClass> {
        let settle = settle.map(|how| (d.receipt, how));
        self.ports.ledger.release(vec![Release { claim, identity: identity(d), counts, settle }]).await[0]
    }

    /// Writes a letter for a delivery; with `settle`, its original goes, in the same transaction where
    /// that is possible.
    pub async fn publish(
        &self,
        d: &Delivery,
        claim: Option<Claim>,
        settle: bool,
    ) -> Result<(), ErrorClass> {
        let (cause, failure) = match claim {
            Some(_) => (Cause::Rejected, Failure::Reject),
            None => (Cause::Invalid, Failure::Invalid),
        };
        let shared = self.can.source.shares_ledger && settle;
        let letter = Letter {
            message: d.message.clone(),
            identity: claim.map(|_| identity(d)),
            scope: None,
            claim,
            skipped: d.skipped,
            settle: shared.then_some(d.receipt),
            cause,
            failure,
            reason: "because the case says so".to_owned(),
            attempts: 1,
            handler: "sha256:none".into(),
        };
        let result = self.ports.letters.publish(vec![letter]).await[0];
        if settle && !shared && result.is_ok() {
            self.settle(d, Settle::Ack).await;
        }
        result
    }

    /// The ids of the messages that have a letter.
    pub async fn lettered(&self) -> Vec<String> {
        self.fixture.lettered().await
    }

    /// Ends everything in order, and opens it again.
    pub async fn restart(&mut self) {
        self.fixture.restart().await;
        self.ports = self.fixture.ports();
        self.marks().clear();
    }

    /// Ends everything as `kill -9` does, and opens it again.
    pub async fn crash(&mut self) {
        self.fixture.crash().await;
        self.ports = self.fixture.ports();
        self.marks().clear();
    }
}

/// What the ledger knows a delivery by, when its id is its deduplication key.
fn identity(delivery: &Delivery) -> Identity {
    match delivery.position {
        Some(position) => Identity::Position(position),
        None => Identity::Key(ledger_key(delivery.message.id().text().as_bytes())),
    }
}

/// A delivery's body, as text.
#[must_use]
pub fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.message.body()).into_owned()
}

/// The ids of deliveries, sorted.
#[must_use]
pub fn ids(deliveries: &[Delivery]) -> BTreeSet<String> {
    deliveries.iter().map(|d| d.message.id().to_string()).collect()
}
