//! The list of cases, and how one is run or skipped.

use super::probe::Probe;
use super::{Description, Need, Subject};
use super::{delay, delivery, ending, fidelity, ledger, letters, order};
use libtest_mimic::{Completion, Trial};
use pelton_core::ports::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// No case takes longer than this, on a machine that does ten other things.
const LIMIT: Duration = Duration::from_secs(60);

/// One rule that every source must keep.
pub struct Case {
    /// The rule.
    pub name: &'static str,
    /// What a source needs for it.
    pub needs: &'static [Need],
    /// The test. Panics when the rule is broken.
    pub run: fn(Probe) -> BoxFuture<'static, ()>,
}

/// Names a function as a case, with its needs.
macro_rules! cases {
    ($($file:ident { $($name:ident [$($need:ident),*]),+ $(,)? })+) => {
        /// Every case.
        #[must_use]
        pub fn all() -> Vec<Case> {
            vec![$($(Case {
                name: stringify!($name),
                needs: &[$(Need::$need),*],
                run: |probe| Box::pin($file::$name(probe)),
            }),+),+]
        }
    };
}

cases! {
    delivery {
        the_source_says_what_its_description_says [],
        every_message_is_delivered_once_and_settled_away [],
        a_waiting_receive_wakes_for_what_another_process_sends [],
        a_batch_has_at_most_max_messages [],
        a_batch_has_at_most_max_bytes_and_at_least_one_message [],
        what_is_held_is_not_delivered_again [],
        the_lag_counts_what_is_not_settled [ExactLag, Individual],
        what_is_held_is_left [],
        the_depth_is_what_is_left_and_since_when_it_waits [],
    }
    fidelity {
        bodies_arrive_byte_for_byte [],
        binary_bodies_arrive_byte_for_byte [Binary],
        the_largest_body_arrives [],
        headers_keep_their_order_and_repeat [Headers],
        header_values_may_be_any_bytes [Headers, Binary],
        keys_arrive_as_they_were_sent [Keys],
        keys_may_be_of_any_language_or_missing [Keys, FreeKeys],
        keys_may_be_any_bytes [Keys, Binary],
        an_empty_key_is_a_key_and_none_is_none [Keys, EmptyKeys],
        ids_are_told_apart_and_stay_over_a_redelivery [Individual],
        ids_stay_over_a_restart [Restart],
        a_producer_s_id_is_kept_and_may_come_twice [ExplicitIds],
        the_time_of_publishing_stays [Restart, Dated],
        what_numbers_messages_stays_over_a_restart [Restart],
        messages_are_numbered_apart_from_those_of_any_other [Another],
    }
    order {
        a_lane_comes_in_the_order_it_was_sent [Keys],
        a_lane_keeps_its_order_when_its_head_waits_for_a_retry [Keys, LaneOrder, NativeDelay],
        a_lane_keeps_its_order_when_its_head_goes_back_last [Keys, LaneOrder, NativeDelay],
        a_lane_keeps_its_order_when_all_of_it_is_given_back [Keys, LaneOrder],
        a_lane_keeps_its_order_over_a_crash [Keys, Restart],
        a_lane_that_waits_is_still_held_after_a_crash [Keys, LaneOrder, NativeDelay, Restart],
        other_lanes_go_on_while_one_waits [Keys, NativeDelay, IndependentLanes],
        a_hot_lane_does_not_starve_the_others [Keys, IndependentLanes],
        messages_without_a_key_wait_for_nobody [Keys, NativeDelay, IndependentLanes],
    }
    delay {
        a_retry_comes_back_after_its_wait_and_soon_then [NativeDelay, Individual],
        a_wait_outlives_a_restart [NativeDelay, Restart, Individual],
        a_short_wait_passes_a_long_one [NativeDelay, Individual],
        a_delayed_send_is_kept_back_and_is_soon_delivered_then [DelayedSend],
        a_delayed_send_outlives_a_restart [DelayedSend, Restart],
    }
    ending {
        closing_ends_a_waiting_receive [],
        closing_gives_back_what_is_held [Restart],
        a_crash_brings_back_what_was_not_settled_and_only_that [Restart, Individual],
        what_was_completed_before_a_crash_is_known_after_it_and_the_rest_is_not [Restart],
        what_was_given_back_comes_again [Individual],
        settling_twice_is_harmless [],
        a_closed_source_does_not_say_that_it_has_settled [Restart],
    }
    ledger {
        starts_are_numbered_from_one [],
        a_failed_start_is_counted_and_one_handed_back_is_not [],
        the_larger_count_of_attempts_holds [],
        a_start_that_died_is_counted_and_suspect [Restart],
        neighbours_of_a_suspect_are_granted [Restart],
        a_suspect_that_dies_again_is_counted_again [Restart],
        attempts_outlive_a_crash [Restart],
        a_completed_key_is_a_duplicate [ExplicitIds],
        a_completed_key_is_a_duplicate_after_a_crash [ExplicitIds, Restart],
        a_claim_ends_once [],
        a_claim_of_a_dead_process_is_void [Restart],
        completing_settles_in_the_same_transaction [SharedLedger, Restart],
        completing_without_settling_leaves_a_duplicate [Restart],
        a_retry_is_counted_and_given_back_in_the_same_transaction [SharedLedger, NativeDelay, Restart],
    }
    letters {
        a_letter_is_durable_and_its_original_gone [Restart],
        a_letter_whose_ack_was_lost_is_not_written_twice [Restart],
        a_letter_frees_its_key [ExplicitIds, SharedLedger],
        a_letter_needs_a_live_claim [],
        an_invalid_message_leaves_a_letter_without_a_claim [SharedLedger, Restart],
    }
}

/// Why a source cannot run a case; none when it can.
#[must_use]
pub fn skipped(case: &Case, description: &Description) -> Option<&'static str> {
    case.needs.iter().find_map(|need| need.lacks(description))
}

/// Runs one case on a fresh source. `Err` says how it ended when it did not end well.
///
/// # Errors
/// When it took too long. A broken rule panics.
pub fn run(case: &Case, subject: &dyn Subject, limit: Duration) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let ended = runtime.block_on(async {
        let mut probe = Probe::new(subject.fresh().await, subject.description());
        if case.needs.contains(&Need::Another) {
            probe = probe.beside(subject.fresh().await);
        }
        tokio::time::timeout(limit, (case.run)(probe)).await
    });
    runtime.shutdown_background();
    ended.map_err(|_| format!("it still waited for something after {limit:?}"))
}

/// The suite for one source, as tests.
#[must_use]
pub fn trials(subject: &Arc<dyn Subject>) -> Vec<Trial> {
    let trial = |case: Case| {
        let subject = subject.clone();
        let name = format!("{}::{}", subject.name(), case.name);
        Trial::ignorable_test(name, move || match skipped(&case, &subject.description()) {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => Ok(run(&case, &*subject, LIMIT).map(|()| Completion::Completed)?),
        })
    };
    all().into_iter().map(trial).collect()
}
