//! Fault 16, call by call: a source driven by hand, on a service that answers as it is told to.

use crate::{number_in, order, plain};
use pelton_core::ports::{Class, Settle, Source};
use pelton_core::{Delivery, Receipt};
use pelton_sources::sqs::{Connection, SqsOptions, SqsSource};
use pelton_tests::sqs::{Counts, Sent, client};
use pelton_tests::sqs_stub::Operation::{Change, ChangeBatch, Delete, DeleteBatch, Receive};
use pelton_tests::sqs_stub::{Call, Fate, How, Operation, Stub};
use pelton_tests::wait::{PATIENCE, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// A source, and what it is asked for by hand.
struct Bench {
    stub: Stub,
    source: Arc<SqsSource>,
    runtime: Runtime,
    queue: &'static str,
}

impl Bench {
    fn new(queue: &'static str) -> Self {
        Self::with(queue, Duration::from_secs(60))
    }

    fn with(queue: &'static str, visibility: Duration) -> Self {
        let stub = Stub::start();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let options = SqsOptions {
            pipeline: "orders".into(),
            queue_url: stub.queue(queue),
            wait: Duration::from_secs(1),
            visibility,
            at_least: 100,
            at_most: 100,
        };
        let connection = Connection::with(client(&stub.address));
        let source = Arc::new(runtime.block_on(async { SqsSource::open(options, connection) }));
        Self { stub, source, runtime, queue }
    }

    /// With so many messages, which it holds.
    fn holding(queue: &'static str, count: u64) -> (Self, Vec<Delivery>) {
        let bench = Self::new(queue);
        let make = |n| if queue.ends_with(".fifo") { order(n, &format!("g-{n}"), 0) } else { plain(n, 0) };
        let messages: Vec<Sent> = (0..count).map(make).collect();
        bench.stub.send(queue, &messages);
        let mut held = bench.receive(count as usize);
        held.sort_by_key(number);
        (bench, held)
    }

    /// Receives until there are so many.
    fn receive(&self, count: usize) -> Vec<Delivery> {
        let all = async {
            let mut all = Vec::new();
            while all.len() < count {
                all.extend(self.source.receive(count - all.len(), 1 << 20).await.expect("it is open"));
            }
            all
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await.expect("they come") })
    }

    /// Begins to settle; for each its answer, later.
    fn settle_later(&self, what: &[(Receipt, Settle)]) -> Vec<JoinHandle<Result<(), Class>>> {
        let one = |(receipt, how)| {
            let source = self.source.clone();
            self.runtime.spawn(async move { source.settle(vec![(receipt, how)]).await[0] })
        };
        what.iter().copied().map(one).collect()
    }

    fn settle(&self, what: &[(Receipt, Settle)]) -> Vec<Result<(), Class>> {
        self.runtime.block_on(self.source.settle(what.to_vec()))
    }

    fn ack(&self, held: &[Delivery]) -> Vec<Result<(), Class>> {
        self.settle(&acks(held))
    }

    fn answer<T>(&self, answer: JoinHandle<T>) -> T {
        let answer = async { tokio::time::timeout(PATIENCE, answer).await.expect("it is answered") };
        self.runtime.block_on(answer).expect("it does not panic")
    }

    fn counts(&self) -> Counts {
        self.stub.counts(self.queue)
    }

    /// The calls that were about this message, by their kind and visibility.
    fn about(&self, message: &Delivery) -> Vec<(Operation, Option<u64>)> {
        let mut about = Vec::new();
        for call in self.stub.calls() {
            let entries =
                call.entries.iter().filter(|entry| number_in(&entry.body) == Some(number(message)));
            about.extend(entries.map(|entry| (call.operation, entry.visibility_s)));
        }
        about
    }
}

fn number(delivery: &Delivery) -> u64 {
    number_in(&String::from_utf8_lossy(&delivery.message.body)).expect("bodies have numbers")
}

fn acks(held: &[Delivery]) -> Vec<(Receipt, Settle)> {
    held.iter().map(|delivery| (delivery.receipt, Settle::Ack)).collect()
}

/// The first call of this kind is answered so, all else well.
fn once(operation: Operation, how: How) -> impl FnMut(&Call) -> How + Send + 'static {
    let mut how = Some(how);
    move |call| if call.operation == operation { how.take().unwrap_or_default() } else { How::Well }
}

/// The call deals with this message, and answers so for it.
fn fate_of(wanted: u64, fate: Fate) -> impl FnMut(&Call) -> How + Send + 'static {
    move |call| {
        let place = call.entries.iter().position(|entry| number_in(&entry.body) == Some(wanted));
        let batch = matches!(call.operation, DeleteBatch | ChangeBatch);
        place.filter(|_| batch).map(|place| How::Entries(vec![(place, fate)])).unwrap_or_default()
    }
}

#[test]
fn an_entry_that_fails_is_tried_again_by_itself_and_the_others_are_left_alone() {
    let fates = [
        Fate::Failed("InternalError"),
        Fate::Unnamed,
        Fate::DoneUnnamed,
        // The service has it that who asks too often is at fault.
        Fate::SenderFault("ThrottlingException"),
    ];
    for fate in fates {
        let (bench, held) = Bench::holding("orders", 10);
        bench.stub.script(fate_of(3, fate));
        assert_eq!(bench.ack(&held), [Ok(()); 10], "{fate:?}");
        assert_eq!(bench.stub.count(&[Delete]), 1, "{fate:?}");
        let tried: Vec<usize> = held.iter().map(|message| bench.about(message).len()).collect();
        // What was done and not named has no message any more that the second call could be about.
        let of_third = if fate == Fate::DoneUnnamed { 1 } else { 2 };
        let wanted: Vec<usize> = (0..10).map(|n| if n == 3 { of_third } else { 1 }).collect();
        assert_eq!(tried, wanted, "{fate:?}");
        assert_eq!(bench.counts(), Counts::default(), "{fate:?}");
    }
}

#[test]
fn an_entry_that_is_refused_for_good_is_given_up_on_and_comes_again() {
    let (bench, held) = Bench::holding("orders", 10);
    bench.stub.script(fate_of(3, Fate::SenderFault("InvalidIdFormat")));
    let results = bench.ack(&held);
    let wanted: Vec<_> = (0..10).map(|n| if n == 3 { Err(Class::Lost) } else { Ok(()) }).collect();
    assert_eq!(results, wanted);
    assert_eq!(bench.stub.count(&[Delete]), 0, "to say it again is of no use");
    assert_eq!(bench.counts().unsettled(), 1);
}

#[test]
fn an_entry_that_hangs_holds_up_no_other() {
    let (bench, held) = Bench::holding("orders", 10);
    let mut of_batch = fate_of(3, Fate::Failed("InternalError"));
    bench.stub.script(move |call| if call.operation == Delete { How::Held } else { of_batch(call) });
    let mut answers = bench.settle_later(&acks(&held));
    let slow = answers.remove(3);
    let results: Vec<_> = answers.into_iter().map(|answer| bench.answer(answer)).collect();
    assert_eq!(results, [Ok(()); 9]);
    assert!(!slow.is_finished(), "it has no answer yet");
    until("it is tried by itself", || (bench.stub.count(&[Delete]) == 1).then_some(()));
    bench.stub.let_go();
    assert_eq!(bench.answer(slow), Ok(()));
    assert_eq!(bench.counts(), Counts::default());
}

#[test]
fn a_batch_that_is_refused_or_whose_answer_is_lost_leaves_its_messages_held() {
    let refusals = [
        How::Refused(503, "ServiceUnavailable"),
        How::Refused(500, "InternalError"),
        How::Refused(400, "ThrottlingException"),
        How::Refused(403, "AccessDenied"),
        How::Refused(403, "ExpiredToken"),
        How::Lost,
    ];
    for how in refusals {
        let (bench, held) = Bench::holding("orders", 10);
        bench.stub.script(once(DeleteBatch, how.clone()));
        assert_eq!(bench.ack(&held), [Err(Class::Transient); 10], "{how:?}");
        assert!(bench.source.trouble().is_some(), "{how:?}");
        // What was deleted and not said so is gone, and is found to be.
        assert_eq!(bench.counts().unsettled(), if matches!(how, How::Lost) { 0 } else { 10 }, "{how:?}");
        assert_eq!(bench.ack(&held), [Ok(()); 10], "{how:?}");
        assert_eq!((bench.counts(), bench.source.trouble()), (Counts::default(), None), "{how:?}");
    }
}

#[test]
fn an_expired_handle_settles_nothing() {
    let (bench, held) = Bench::holding("orders.fifo", 2);
    let expired: Vec<(usize, Fate)> = vec![
        (0, Fate::SenderFault("ReceiptHandleIsInvalid")),
        (1, Fate::SenderFault("MessageNotInflight")),
    ];
    bench.stub.script(move |call| match call.operation {
        DeleteBatch => How::Entries(expired.clone()),
        _ => How::Well,
    });
    assert_eq!(bench.ack(&held), [Err(Class::Lost); 2]);
    assert_eq!((bench.stub.count(&[Delete]), bench.counts().in_flight), (0, 2));
    bench.stub.behave();
    assert_eq!(bench.ack(&held), [Err(Class::Lost); 2], "they are not ours any more");
    assert_eq!(bench.stub.count(&[DeleteBatch]), 1, "and nobody is asked about them");
}

#[test]
fn an_extension_under_way_does_not_follow_a_delete_nor_overwrite_a_longer_wait() {
    let (bench, held) = Bench::holding("orders", 2);
    bench.stub.script(once(ChangeBatch, How::Held));
    let receipts: Vec<Receipt> = held.iter().map(|delivery| delivery.receipt).collect();
    let source = bench.source.clone();
    let extended = bench.runtime.spawn(async move { source.extend(receipts).await });
    until("it is under way", || (bench.stub.count(&[ChangeBatch]) == 1).then_some(()));
    let later = Settle::RetryLater { delay_ms: 3_600_000 };
    let settled = bench.settle_later(&[(held[0].receipt, Settle::Ack), (held[1].receipt, later)]);
    // Another message is settled meanwhile: whatever would have been sent before that has been.
    bench.stub.send("orders", &[plain(9, 0)]);
    let another = bench.receive(1);
    assert_eq!(bench.ack(&another), [Ok(())]);
    assert_eq!((bench.about(&held[0]).len(), bench.about(&held[1]).len()), (1, 1), "both wait for it");
    bench.stub.let_go();
    assert_eq!(bench.answer(extended), [Ok(()); 2]);
    let settled: Vec<_> = settled.into_iter().map(|answer| bench.answer(answer)).collect();
    assert_eq!(settled, [Ok(()); 2]);
    assert_eq!(bench.about(&held[0]), [(ChangeBatch, Some(60)), (DeleteBatch, None)]);
    assert_eq!(bench.about(&held[1]), [(ChangeBatch, Some(60)), (ChangeBatch, Some(3_600))]);
    assert_eq!(bench.counts().in_flight, 1, "the retry waits as long as it was told to");
}

#[test]
fn what_is_being_settled_is_not_extended() {
    for how in [Settle::Ack, Settle::RetryLater { delay_ms: 3_600_000 }] {
        let (bench, held) = Bench::holding("orders", 1);
        bench.stub.script(|call| if call.operation == Receive { How::Well } else { How::Held });
        let settled = bench.settle_later(&[(held[0].receipt, how)]);
        until("it is under way", || (bench.about(&held[0]).len() == 1).then_some(()));
        let extended = bench.runtime.block_on(bench.source.extend(vec![held[0].receipt]));
        assert_eq!(extended, [Ok(())], "{how:?}");
        bench.stub.let_go();
        settled.into_iter().for_each(|answer| assert_eq!(bench.answer(answer), Ok(()), "{how:?}"));
        assert_eq!(bench.about(&held[0]).len(), 1, "{how:?}: one call, and no extension behind it");
    }
}

#[test]
fn a_lease_that_the_service_will_not_extend_is_lost_and_settles_nothing() {
    let (bench, held) = Bench::holding("orders", 1);
    // The twelve hours are over.
    bench.stub.longest_hold(Duration::from_secs(60));
    let extended = bench.runtime.block_on(bench.source.extend(vec![held[0].receipt]));
    assert_eq!(extended, [Err(Class::Lost)]);
    assert_eq!(bench.ack(&held), [Err(Class::Lost)]);
    assert_eq!((bench.stub.count(&[Delete, DeleteBatch]), bench.counts().in_flight), (0, 1));
}

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

#[test]
fn a_message_that_comes_again_is_settled_by_its_newest_handle() {
    let bench = Bench::with("orders", Duration::from_secs(1));
    bench.stub.send("orders", &[plain(1, 0)]);
    let first = bench.receive(1);
    let again = bench.receive(1);
    assert_eq!(number(&first[0]), number(&again[0]), "nobody has extended it");
    assert_eq!(bench.ack(&first), [Err(Class::Lost)], "the older receipt is no longer ours");
    bench.stub.script(|call| if call.operation == Receive { How::Held } else { How::Well });
    let mut settled = bench.ack(&again);
    while settled != [Ok(())] {
        // On a busy machine it may have come once more meanwhile.
        bench.stub.let_go();
        settled = bench.ack(&bench.receive(1));
    }
    assert_eq!(bench.counts(), Counts::default());
}

#[test]
fn what_is_held_at_the_end_goes_back_at_once_and_is_not_given_twice() {
    let (bench, held) = Bench::holding("orders.fifo", 10);
    assert_eq!(bench.ack(&held[..4]), [Ok(()); 4]);
    let singles = bench.stub.count(&[Change]);
    bench.stub.script(fate_of(7, Fate::Failed("InternalError")));
    bench.runtime.block_on(bench.source.close());
    assert_eq!(bench.counts(), Counts { visible: 6, ..Counts::default() });
    assert_eq!(bench.stub.count(&[Change]) - singles, 1, "the one that failed, by itself");
    for message in &held[..4] {
        assert_eq!(bench.about(message), [(DeleteBatch, None)], "{}", number(message));
    }
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
