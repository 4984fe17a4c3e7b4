//! Runs the contract suite of sources: `cargo test -p pelton-tests --test contract`.
//!
//! A source that is added brings a `Subject`, and a line in `subjects`. What an outbox sends to brings an
//! `OutboxSubject`, and a ledger a `LedgerSubject`: see `ledgers`.

mod depth;
mod embedded;
mod kafka;
mod ledgers;
mod mutants;
mod outbox;
mod outbox_queue;
mod redis;
mod sqs;

use embedded::Embedded;
use kafka::Kafka;
use libtest_mimic::{Arguments, Trial};
use pelton_tests::contract::{self, Subject};
use redis::Kind;
use sqs::Queues;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let subjects: [Arc<dyn Subject>; 6] = [
        Arc::new(Embedded),
        Arc::new(Kafka::default()),
        Arc::new(Queues::standard()),
        Arc::new(Queues::fifo()),
        Arc::new(Kind::Stream),
        Arc::new(Kind::List),
    ];
    let mut trials: Vec<Trial> = subjects.iter().flat_map(contract::trials).collect();
    trials.push(Trial::test("embedded::nothing_it_can_do_is_skipped", nothing_is_skipped));
    trials.push(Trial::test("a_source_that_can_less_is_asked_less_and_told_why", less_is_asked));
    trials.extend(mutants::trials());
    trials.extend(ledgers::trials());
    trials.extend(depth::trials());
    trials.extend(outbox::subjects().iter().flat_map(contract::outbox::outbox_trials));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The embedded queue has everything that a case may need.
fn nothing_is_skipped() -> Result<(), libtest_mimic::Failed> {
    let can = Embedded.description();
    let skipped: Vec<_> = contract::all()
        .iter()
        .filter_map(|case| Some((case.name, contract::skipped(case, &can)?)))
        .collect();
    if skipped.is_empty() { Ok(()) } else { Err(format!("skipped: {skipped:?}").into()) }
}

/// A queue without keys, delays and ids of the producer's still runs what is left.
fn less_is_asked() -> Result<(), libtest_mimic::Failed> {
    let mut can = Embedded.description();
    (can.keys, can.explicit_ids, can.delayed_send) = (false, false, false);
    can.source.native_delay = false;
    let why = |name: &str| {
        let all = contract::all();
        let case = all.iter().find(|case| case.name == name).expect("there is such a case");
        contract::skipped(case, &can)
    };
    assert_eq!(why("a_lane_comes_in_the_order_it_was_sent"), Some("it has no ordering keys"));
    assert_eq!(why("a_delayed_send_outlives_a_restart"), Some("it cannot send with a delay"));
    assert_eq!(why("a_completed_key_is_a_duplicate"), Some("it gives the ids itself"));
    assert_eq!(why("every_message_is_delivered_once_and_settled_away"), None);
    Ok(())
}
