//! That the suite can fail: a ledger that breaks one rule each, and the case that sees it.

use super::model::Model;
use crate::mutants::fails;
use libtest_mimic::Trial;
use pelton_core::ports::{
    BoxFuture, ClaimItem, Completion, DeadLetters, ErrorClass, Ledger, Release, Verdict,
};
use pelton_tests::contract::ledgers::{
    LedgerDescription, LedgerFixture, LedgerSubject, LedgerWorker, ledger_cases, run_ledger_case,
};
use std::sync::Arc;
use std::time::Duration;

/// A case that hangs on a broken ledger has caught it too.
const LIMIT: Duration = Duration::from_secs(4);

/// How a ledger is broken, and the case that must see it.
const BROKEN: &[(Fault, &str)] = &[
    (Fault::CountsNoFailure, "a_failed_start_is_counted_and_one_handed_back_is_not"),
    (Fault::SuspectsNobody, "a_start_that_died_is_counted_and_suspect"),
    (Fault::CompletesTwice, "a_claim_ends_once"),
    (Fault::CompletesTwice, "a_worker_that_stood_still_ends_nothing_that_another_took_over"),
    (Fault::TurnsAround, "a_chunk_of_a_thousand_is_answered_in_its_order"),
    (Fault::KnowsNothing, "what_one_completed_is_a_duplicate_for_all"),
    (Fault::KnowsNothing, "workers_that_race_do_everything_once"),
    (Fault::IsNeverAway, "a_ledger_that_is_away_says_so_and_counts_nothing"),
    (Fault::WaitsForNobody, "what_another_worker_has_is_elsewhere"),
    (Fault::WaitsForNobody, "a_worker_that_lives_keeps_its_claims"),
    (Fault::WaitsForNobody, "a_worker_that_died_is_waited_for_as_long_as_was_said"),
    (Fault::HoldsWhatEnded, "a_worker_that_ended_in_order_is_waited_for_by_nobody"),
    (Fault::HoldsWhatEnded, "a_worker_that_is_started_again_is_waited_for_by_nobody"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    CountsNoFailure,
    SuspectsNobody,
    CompletesTwice,
    TurnsAround,
    KnowsNothing,
    IsNeverAway,
    WaitsForNobody,
    HoldsWhatEnded,
}

/// One test for each.
pub fn trials() -> Vec<Trial> {
    let trial = |(fault, name): &(Fault, &'static str)| {
        let (fault, name) = (*fault, *name);
        Trial::test(format!("ledger::broken::{fault:?}_is_caught_by_{name}"), move || {
            let all = ledger_cases();
            let case = all.iter().find(|case| case.name == name).expect("there is such a case");
            fails(|| run_ledger_case(case, &Broken(fault), LIMIT))
        })
    };
    BROKEN.iter().map(trial).collect()
}

/// Models, broken.
struct Broken(Fault);

impl LedgerSubject for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn description(&self) -> LedgerDescription {
        Model.description()
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn LedgerFixture>> {
        Box::pin(async {
            Box::new(BrokenFixture { inner: Model.fresh().await, fault: self.0 }) as Box<dyn LedgerFixture>
        })
    }
}

struct BrokenFixture {
    inner: Box<dyn LedgerFixture>,
    fault: Fault,
}

impl LedgerFixture for BrokenFixture {
    fn worker(&mut self) -> BoxFuture<'_, Box<dyn LedgerWorker>> {
        Box::pin(async {
            let worker = BrokenWorker { inner: self.inner.worker().await, fault: self.fault };
            Box::new(worker) as Box<dyn LedgerWorker>
        })
    }
}

struct BrokenWorker {
    inner: Box<dyn LedgerWorker>,
    fault: Fault,
}

impl LedgerWorker for BrokenWorker {
    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(BrokenLedger { inner: self.inner.ledger(), fault: self.fault })
    }

    fn letters(&self) -> Arc<dyn DeadLetters> {
        self.inner.letters()
    }

    fn die(&mut self) -> BoxFuture<'_, ()> {
        self.inner.die()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }

    fn begin(&mut self) -> BoxFuture<'_, ()> {
        self.inner.begin()
    }

    fn stand_still(&self) {
        self.inner.stand_still();
    }

    fn go_on(&self) {
        self.inner.go_on();
    }

    fn cut(&self) {
        if self.fault != Fault::IsNeverAway {
            self.inner.cut();
        }
    }

    fn mend(&self) {
        self.inner.mend();
    }
}

struct BrokenLedger {
    inner: Arc<dyn Ledger>,
    fault: Fault,
}

impl BrokenLedger {
    fn breaks(&self, verdict: Verdict, asked: &ClaimItem) -> Verdict {
        match (self.fault, verdict) {
            (Fault::WaitsForNobody, Verdict::Elsewhere { .. }) => Verdict::Suspect,
            (Fault::KnowsNothing, Verdict::Duplicate) => Verdict::Fresh {
                claim: pelton_core::ports::Claim { chunk: 0, index: 0 },
                attempt: asked.attempts + 1,
                crashed: false,
            },
            (Fault::HoldsWhatEnded, Verdict::Suspect | Verdict::Fresh { crashed: true, .. }) => {
                Verdict::Elsewhere { wait_ms: 10 }
            }
            (_, verdict) => verdict,
        }
    }
}

impl Ledger for BrokenLedger {
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        Box::pin(async move {
            let alone = alone || self.fault == Fault::SuspectsNobody;
            let verdicts = self.inner.claim(items.clone(), alone).await?;
            let mut verdicts: Vec<Verdict> = verdicts
                .into_iter()
                .zip(&items)
                .map(|(verdict, item)| self.breaks(verdict, item))
                .collect();
            if self.fault == Fault::TurnsAround {
                verdicts.reverse();
            }
            Ok(verdicts)
        })
    }

    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(async move {
            let results = self.inner.complete(batch).await;
            if self.fault == Fault::CompletesTwice { vec![Ok(()); results.len()] } else { results }
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

    fn is_shared(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }
}
