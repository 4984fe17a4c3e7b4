//! Fault 16, call by call: receives that are refused, or whose answer is lost.

use crate::bench::{Bench, number, once};
use crate::{order, plain};
use pelton_core::ports::Source;
use pelton_tests::sqs::Counts;
use pelton_tests::sqs_stub::How;
use pelton_tests::sqs_stub::Operation::Receive;
use pelton_tests::wait::until;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The names of the receives so far, which a queue in order knows repetitions by.
fn attempts(bench: &Bench) -> Vec<String> {
    let calls = bench.stub.calls();
    calls.into_iter().filter(|call| call.operation == Receive).filter_map(|call| call.attempt).collect()
}

#[test]
fn a_receive_whose_answer_is_lost_brings_the_same_messages_when_it_is_asked_for_again() {
    let bench = Bench::with("orders.fifo", Duration::from_secs(3_600));
    let lost = Arc::new(AtomicBool::new(false));
    let is_lost = lost.clone();
    bench.stub.script(move |call| {
        let now = call.operation == Receive && !is_lost.swap(true, Ordering::SeqCst);
        if now { How::Lost } else { How::Well }
    });
    until("a receive waits whose answer will be lost", || lost.load(Ordering::SeqCst).then_some(()));
    bench.stub.send(bench.queue, &(0..5).map(|n| order(n, "g", 0)).collect::<Vec<_>>());
    // Else they would be hidden, with all of their group behind them, for an hour.
    let held = bench.receive(5);
    assert_eq!(held.iter().map(number).collect::<Vec<_>>(), (0..5).collect::<Vec<_>>());
    let names = attempts(&bench);
    let repeated = names.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(repeated, 1, "{names:?}");
    assert_eq!(bench.ack(&held), [Ok(()); 5]);
    let so_far = attempts(&bench).len();
    until("it polls on", || (attempts(&bench).len() > so_far).then_some(()));
    let names = attempts(&bench);
    let last = &names[so_far];
    assert_eq!(names.iter().filter(|name| name == &last).count(), 1, "each other has a name of its own");
}

#[test]
fn a_queue_without_order_needs_no_names() {
    let (bench, held) = Bench::holding("orders", 3);
    assert_eq!(bench.ack(&held), [Ok(()); 3]);
    assert_eq!(attempts(&bench), Vec::<String>::new());
}

/// The counts of the service are approximate, and a worker that is told nothing is left ends,
/// `--until-empty`.
#[test]
fn what_waits_in_the_worker_is_left_whatever_the_service_counts() {
    let bench = Bench::new("orders");
    let none = [
        ("ApproximateNumberOfMessages", "0"),
        ("ApproximateNumberOfMessagesNotVisible", "0"),
        ("ApproximateNumberOfMessagesDelayed", "0"),
    ];
    bench.stub.attributes(bench.queue, &none);
    let left = || bench.runtime.block_on(bench.source.lag()).expect("the lag is known").unsettled;
    assert_eq!(left(), 0);
    bench.stub.send(bench.queue, &(0..3).map(|n| plain(n, 0)).collect::<Vec<_>>());
    until("they are counted", || (left() == 3).then_some(()));
}

/// What comes before the `count`-th failure at least: each pause is twice the one before, less up to a half.
fn least_pause(count: u32) -> Duration {
    (1..count).map(|failure| Duration::from_millis(100) * (1 << (failure - 1))).sum()
}

#[test]
fn a_service_that_throttles_receives_is_asked_ever_more_slowly() {
    slowly(400, "ThrottlingException");
}

#[test]
fn a_service_that_denies_receives_is_asked_ever_more_slowly() {
    slowly(403, "AccessDenied");
}

fn slowly(status: u16, code: &'static str) {
    let bench = Bench::new("orders");
    bench.stub.script(move |_| How::Refused(status, code));
    let refused = || {
        let all = bench.stub.calls();
        // The first may have been there before the script was.
        all.into_iter().filter(|call| call.operation == Receive).skip(1).collect::<Vec<_>>()
    };
    let calls = until("it has asked four times", || Some(refused()).filter(|calls| calls.len() >= 4));
    let passed = calls[3].at - calls[0].at;
    // The clocks of the two sides round differently.
    assert!(passed >= least_pause(4) - Duration::from_millis(50), "four times in {passed:?}");
    let words = bench.source.trouble().unwrap_or_default();
    assert!(words.starts_with(code), "{words}");
    bench.stub.behave();
    bench.stub.send("orders", &[plain(1, 0)]);
    let held = bench.receive(1);
    assert_eq!((bench.ack(&held).len(), bench.source.trouble()), (1, None));
}

#[test]
fn one_lost_receive_is_no_trouble() {
    let bench = Bench::new("orders");
    bench.stub.script(once(Receive, How::Refused(503, "ServiceUnavailable")));
    bench.stub.send("orders", &[plain(1, 0)]);
    let held = bench.receive(1);
    assert_eq!((bench.ack(&held), bench.source.trouble()), (vec![Ok(())], None));
}

/// Else they, and all of their groups behind them, would be hidden for the whole visibility.
#[test]
fn what_was_handed_out_in_order_while_the_source_closes_is_asked_for_again_and_goes_back() {
    let bench = Bench::with("orders.fifo", Duration::from_secs(3_600));
    until("it waits for messages", || (bench.stub.polls() == 1).then_some(()));
    let held = Arc::new(AtomicBool::new(false));
    let is_held = held.clone();
    bench.stub.script(move |call| {
        let now = call.operation == Receive && !is_held.swap(true, Ordering::SeqCst);
        if now { How::Held } else { How::Well }
    });
    until("a receive whose answer hangs waits", || held.load(Ordering::SeqCst).then_some(()));
    bench.stub.send(bench.queue, &(0..5).map(|n| order(n, "g", 0)).collect::<Vec<_>>());
    until("they are handed out", || (bench.counts().in_flight == 5).then_some(()));
    bench.runtime.block_on(bench.source.close());
    assert_eq!(bench.counts(), Counts { visible: 5, ..Counts::default() });
    let names = attempts(&bench);
    assert_eq!(names[names.len() - 1], names[names.len() - 2], "asked for by the same name");
}
