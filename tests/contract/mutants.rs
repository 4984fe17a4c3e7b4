//! That the suite can fail: sources and ledgers that break one rule each, and the case that sees it.

use crate::embedded::Embedded;
use libtest_mimic::Trial;
use pelton_core::Delivery;
use pelton_core::ports::{
    BoxFuture, Capabilities, ClaimItem, Completion, ErrorClass, Lag, Ledger, Release, Scope, Settle,
    Source, Verdict,
};
use pelton_core::{Message, Receipt};
use pelton_tests::contract::{self, Description, Fixture, Outgoing, Ports, Subject};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A case that hangs on a broken source has caught it too.
const LIMIT: Duration = Duration::from_secs(4);

/// How a source or its ledger is broken, and the case that must see it.
const BROKEN: &[(Fault, &str)] = &[
    (Fault::LosesWhatIsGivenBack, "what_was_given_back_comes_again"),
    (Fault::AcknowledgesNothing, "the_lag_counts_what_is_not_settled"),
    (Fault::ForgetsWaits, "a_retry_comes_back_after_its_wait_and_soon_then"),
    (Fault::ForgetsWaits, "a_lane_that_waits_is_still_held_after_a_crash"),
    (Fault::BringsTooMany, "a_batch_has_at_most_max_messages"),
    (Fault::BringsTooMany, "a_batch_has_at_most_max_bytes_and_at_least_one_message"),
    (Fault::TurnsBatchesAround, "a_lane_comes_in_the_order_it_was_sent"),
    (Fault::DeliversTwice, "every_message_is_delivered_once_and_settled_away"),
    (Fault::WakesLate, "a_waiting_receive_wakes_for_what_another_process_sends"),
    (Fault::CountsNoFailure, "a_failed_start_is_counted_and_one_handed_back_is_not"),
    (Fault::SuspectsNobody, "a_start_that_died_is_counted_and_suspect"),
    (Fault::CompletesTwice, "a_claim_ends_once"),
    (Fault::NumbersAlike, "messages_are_numbered_apart_from_those_of_any_other"),
    (Fault::NumbersAnew, "what_numbers_messages_stays_over_a_restart"),
    (Fault::SettlesApart, "completing_settles_in_the_same_transaction"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    LosesWhatIsGivenBack,
    AcknowledgesNothing,
    ForgetsWaits,
    BringsTooMany,
    TurnsBatchesAround,
    DeliversTwice,
    WakesLate,
    CountsNoFailure,
    SuspectsNobody,
    CompletesTwice,
    NumbersAlike,
    NumbersAnew,
    SettlesApart,
}

thread_local! {
    /// Panics of this thread are expected, and not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// One test for each.
pub fn trials() -> Vec<Trial> {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            usual(panic);
        }
    }));
    let trial = |(fault, name): &(Fault, &'static str)| {
        let (fault, name) = (*fault, *name);
        Trial::test(format!("broken::{fault:?}_is_caught_by_{name}"), move || caught(fault, name))
    };
    BROKEN.iter().map(trial).collect()
}

fn caught(fault: Fault, name: &str) -> Result<(), libtest_mimic::Failed> {
    let all = contract::all();
    let case = all.iter().find(|case| case.name == name).expect("there is such a case");
    fails(|| contract::run(case, &Broken(fault), LIMIT))
}

/// Sees that a case fails, in whatever way.
pub fn fails(run: impl FnOnce() -> Result<(), String>) -> Result<(), libtest_mimic::Failed> {
    QUIET.set(true);
    let ended = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    match ended {
        Ok(Ok(())) => Err("the case did not see it".into()),
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

/// Embedded queues, broken.
struct Broken(Fault);

impl Subject for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn description(&self) -> Description {
        Embedded.description()
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn Fixture>> {
        Box::pin(async {
            let inner = Embedded.fresh().await;
            Box::new(BrokenFixture { inner, fault: self.0 }) as Box<dyn Fixture>
        })
    }
}

struct BrokenFixture {
    inner: Box<dyn Fixture>,
    fault: Fault,
}

impl Fixture for BrokenFixture {
    fn ports(&self) -> Ports {
        let ports = self.inner.ports();
        Ports {
            source: Arc::new(BrokenSource { inner: ports.source, fault: self.fault }),
            ledger: Arc::new(BrokenLedger { inner: ports.ledger, fault: self.fault }),
            letters: ports.letters,
        }
    }

    fn send(&self, batch: Vec<Outgoing>) -> BoxFuture<'_, Vec<String>> {
        self.inner.send(batch)
    }

    fn lettered(&self) -> BoxFuture<'_, Vec<String>> {
        self.inner.lettered()
    }

    fn restart(&mut self) -> BoxFuture<'_, ()> {
        self.inner.restart()
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        self.inner.crash()
    }
}

struct BrokenSource {
    inner: Arc<dyn Source>,
    fault: Fault,
}

impl BrokenSource {
    fn breaks(&self, mut batch: Vec<Delivery>) -> Vec<Delivery> {
        match self.fault {
            Fault::TurnsBatchesAround => batch.reverse(),
            Fault::DeliversTwice => batch.extend(batch.clone()),
            _ => {}
        }
        batch
    }
}

impl Source for BrokenSource {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move {
            let times = if self.fault == Fault::BringsTooMany { 3 } else { 1 };
            let batch = self.inner.receive(max * times, max_bytes * times).await?;
            if self.fault == Fault::WakesLate {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(self.breaks(batch))
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let broken = |how| match (self.fault, how) {
            (Fault::LosesWhatIsGivenBack, Settle::GiveBack) => Settle::Ack,
            (Fault::AcknowledgesNothing, Settle::Ack) => Settle::RetryLater { delay_ms: 86_400_000 },
            (Fault::ForgetsWaits, Settle::RetryLater { .. }) => Settle::GiveBack,
            (_, how) => how,
        };
        self.inner.settle(batch.into_iter().map(|(receipt, how)| (receipt, broken(how))).collect())
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.inner.extend(batch)
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        self.inner.lag()
    }

    fn scope(&self, message: &Message) -> Scope {
        match self.fault {
            Fault::NumbersAlike => message.origin().into(),
            Fault::NumbersAnew => format!("{:p}", Arc::as_ptr(&self.inner)).into(),
            _ => self.inner.scope(message),
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

struct BrokenLedger {
    inner: Arc<dyn Ledger>,
    fault: Fault,
}

impl Ledger for BrokenLedger {
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        self.inner.claim(items, alone || self.fault == Fault::SuspectsNobody)
    }

    fn complete(&self, mut batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        if self.fault == Fault::SettlesApart {
            batch.iter_mut().for_each(|item| item.settle = None);
        }
        let twice = self.fault == Fault::CompletesTwice;
        Box::pin(async move {
            let results = self.inner.complete(batch).await;
            if twice { vec![Ok(()); results.len()] } else { results }
        })
    }

    fn release(&self, mut batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        if self.fault == Fault::CountsNoFailure {
            batch.iter_mut().for_each(|item| item.counts = false);
        }
        self.inner.release(batch)
    }

    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
        self.inner.starts(items)
    }

    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
        self.inner.completed(items)
    }

    fn count_duplicates(&self, count: u64) {
        self.inner.count_duplicates(count);
    }
}
