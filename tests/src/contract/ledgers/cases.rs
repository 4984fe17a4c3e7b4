//! The list of cases, and how one is run or skipped.

use super::{LedgerDescription, LedgerProbe, LedgerSubject};
use super::{alone, away, fleet, race};
use libtest_mimic::{Completion, Trial};
use pelton_core::ports::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// No case takes longer than this, on a machine that does ten other things.
const LIMIT: Duration = Duration::from_secs(60);

/// What a ledger needs for a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Shared,
    Remote,
    GivesBack,
}

/// One rule that ledgers must keep.
pub struct LedgerCase {
    /// The rule.
    pub name: &'static str,
    needs: &'static [Need],
    run: fn(LedgerProbe) -> BoxFuture<'static, ()>,
}

impl LedgerCase {
    /// Why such a ledger cannot run it; none when it can.
    #[must_use]
    pub fn skipped(&self, can: &LedgerDescription) -> Option<&'static str> {
        self.needs.iter().find_map(|need| match need {
            Need::Shared => (!can.shared).then_some("it is one worker's own"),
            Need::Remote => (!can.remote).then_some("nothing comes between it and its worker"),
            Need::GivesBack => (!can.gives_back).then_some("what was not answered is its worker's still"),
        })
    }
}

/// Names a function as a case, with its needs.
macro_rules! cases {
    ($($file:ident { $($name:ident [$($need:ident),*]),+ $(,)? })+) => {
        /// Every case.
        #[must_use]
        pub fn ledger_cases() -> Vec<LedgerCase> {
            vec![$($(LedgerCase {
                name: stringify!($name),
                needs: &[$(Need::$need),*],
                run: |probe| Box::pin($file::$name(probe)),
            }),+),+]
        }
    };
}

cases! {
    alone {
        starts_are_numbered_from_one_and_claims_are_apart [],
        a_failed_start_is_counted_and_one_handed_back_is_not [],
        the_larger_count_of_attempts_holds [],
        a_start_that_died_is_counted_and_suspect [],
        neighbours_of_a_suspect_are_granted [],
        a_suspect_that_dies_again_is_counted_again [],
        attempts_outlive_a_crash [],
        a_completed_key_is_a_duplicate_after_a_crash_too [],
        places_are_known_by_themselves [],
        a_claim_ends_once [],
        a_claim_of_a_dead_process_is_void [],
        a_chunk_of_a_thousand_is_answered_in_its_order [],
        each_of_a_batch_has_its_own_answer [],
        what_was_done_is_told_without_a_claim [],
        a_letter_ends_its_message_and_frees_its_key [],
        an_end_in_order_leaves_no_suspect [],
    }
    fleet {
        what_another_worker_has_is_elsewhere [Shared],
        what_one_completed_is_a_duplicate_for_all [Shared],
        a_letter_of_one_is_known_to_all [Shared],
        a_worker_that_ended_in_order_is_waited_for_by_nobody [Shared],
        a_worker_that_is_started_again_is_waited_for_by_nobody [Shared],
        a_worker_that_died_is_waited_for_as_long_as_was_said [Shared],
        a_worker_that_lives_keeps_its_claims [Shared],
        a_suspect_is_granted_to_one_of_those_who_ask [Shared],
        a_worker_that_stood_still_ends_nothing_that_another_took_over [Shared, Remote],
        what_operators_want_is_told_to_all_and_changed_only_as_it_was_read [Shared],
    }
    race {
        workers_that_race_do_everything_once [Shared],
    }
    away {
        a_ledger_that_is_away_says_so_and_counts_nothing [Remote],
        an_answer_that_is_lost_is_found_again [Remote],
        a_claim_whose_answer_was_lost_is_given_back [Shared, Remote, GivesBack],
    }
}

/// Runs one case on a fresh ledger. `Err` says how it ended when it did not end well.
///
/// # Errors
/// When it took too long. A broken rule panics.
pub fn run_ledger_case(
    case: &LedgerCase,
    subject: &dyn LedgerSubject,
    limit: Duration,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let ended = runtime.block_on(async {
        let probe = LedgerProbe::new(subject.fresh().await, subject.description()).await;
        tokio::time::timeout(limit, (case.run)(probe)).await
    });
    runtime.shutdown_background();
    ended.map_err(|_| format!("it still waited for something after {limit:?}"))
}

/// The suite for one ledger, as tests.
#[must_use]
pub fn ledger_trials(subject: &Arc<dyn LedgerSubject>) -> Vec<Trial> {
    let trial = |case: LedgerCase| {
        let subject = subject.clone();
        let name = format!("ledger::{}::{}", subject.name(), case.name);
        Trial::ignorable_test(name, move || match case.skipped(&subject.description()) {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => Ok(run_ledger_case(&case, &*subject, LIMIT).map(|()| Completion::Completed)?),
        })
    };
    ledger_cases().into_iter().map(trial).collect()
}
