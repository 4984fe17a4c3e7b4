//! Fault 16, call by call: what becomes of messages whose deletes, extensions and returns are answered badly.

use crate::bench::{Bench, acks, fate_of, number, once};
use crate::plain;
use pelton_core::Receipt;
use pelton_core::ports::{ErrorClass, Settle, Source};
use pelton_tests::sqs::Counts;
use pelton_tests::sqs_stub::Operation::{Change, ChangeBatch, Delete, DeleteBatch, Receive};
use pelton_tests::sqs_stub::{Fate, How};
use pelton_tests::wait::until;
use std::time::Duration;

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
    let wanted: Vec<_> =
        (0..10).map(|n| if n == 3 { Err(ErrorClass::LeaseLost) } else { Ok(()) }).collect();
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
        assert_eq!(bench.ack(&held), [Err(ErrorClass::Transient); 10], "{how:?}");
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
    assert_eq!(bench.ack(&held), [Err(ErrorClass::LeaseLost); 2]);
    assert_eq!((bench.stub.count(&[Delete]), bench.counts().in_flight), (0, 2));
    bench.stub.behave();
    assert_eq!(bench.ack(&held), [Err(ErrorClass::LeaseLost); 2], "they are not ours any more");
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
    assert_eq!(extended, [Err(ErrorClass::LeaseLost)]);
    assert_eq!(bench.ack(&held), [Err(ErrorClass::LeaseLost)]);
    assert_eq!((bench.stub.count(&[Delete, DeleteBatch]), bench.counts().in_flight), (0, 1));
}

#[test]
fn a_message_that_comes_again_is_settled_by_its_newest_handle() {
    let bench = Bench::with("orders", Duration::from_secs(1));
    bench.stub.send("orders", &[plain(1, 0)]);
    let first = bench.receive(1);
    let again = bench.receive(1);
    assert_eq!(number(&first[0]), number(&again[0]), "nobody has extended it");
    assert_eq!(bench.ack(&first), [Err(ErrorClass::LeaseLost)], "the older receipt is no longer ours");
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
