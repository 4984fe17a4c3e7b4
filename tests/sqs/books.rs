//! Fault 16, over a whole run: the real binary on a service that fails, forgets and loses answers at random,
//! and the books at the end.

use crate::{Shop, number_in, order, pipeline, plain, taken};
use pelton_core::retry::scatter;
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent};
use pelton_tests::sqs_stub::Operation::{
    Attributes, Change, ChangeBatch, Delete, DeleteBatch, Receive, Send, SendBatch,
};
use pelton_tests::sqs_stub::{Call, Fate, How, Stub};
use pelton_tests::wait::until;
use std::collections::BTreeMap;

const ORDERS: u64 = 300;
/// It has found what overtook a lost message, and receives that nothing woke.
const SEED: u64 = 1;

/// A number from 0 to 99.
struct Dice(u64, u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.1 += 1;
        scatter(self.0, self.1) % 100
    }
}

/// A bad day, the same for the same seed.
fn bad_day(seed: u64) -> impl FnMut(&Call) -> How + std::marker::Send + 'static {
    let mut dice = Dice(seed, 0);
    move |call| match (call.operation, dice.roll()) {
        (Attributes | Send | SendBatch, _) => How::Well,
        (Receive, 0..8) => How::Lost,
        (Receive, 8..12) => How::Refused(503, "ServiceUnavailable"),
        (Receive, 12..16) => How::Refused(400, "ThrottlingException"),
        (Receive, _) => How::Well,
        (_, 0..5) => How::Lost,
        (_, 5..8) => How::Refused(500, "InternalError"),
        (_, 8..10) => How::Refused(400, "ThrottlingException"),
        (Delete | Change, _) => How::Well,
        (DeleteBatch | ChangeBatch, _) => How::Entries(fates(call, &mut dice)),
    }
}

fn fates(call: &Call, dice: &mut Dice) -> Vec<(usize, Fate)> {
    let fate = |(place, _)| {
        let fate = match dice.roll() {
            0..8 => Fate::Failed("InternalError"),
            8..12 => Fate::Unnamed,
            12..16 => Fate::DoneUnnamed,
            16..19 => Fate::SenderFault("InvalidIdFormat"),
            19..22 => Fate::SenderFault("ReceiptHandleIsInvalid"),
            _ => return None,
        };
        Some((place, fate))
    };
    call.entries.iter().enumerate().filter_map(fate).collect()
}

/// Works a queue off on a bad day, and balances the books.
fn balance(seed: u64, queue: &str, orders: &[Sent]) -> Vec<u64> {
    let stub = Stub::start();
    stub.send(queue, orders);
    stub.script(bad_day(seed));
    let shop = Shop::new(&[pipeline(&stub.queue(queue), "")]);
    let (worker, _) = shop.until_empty();
    assert_eq!(stub.counts(queue), Counts::default(), "seed {seed}");
    let status = shop.status();
    let counted = (&status["handled"], &status["dead_letters"]);
    assert_eq!(counted, (&orders.len().into(), &0.into()), "seed {seed}: {status}");
    assert!(stub.count(&[Delete]) > 10, "seed {seed}: it was a bad day");
    let taken = taken(&worker.log);
    let mut all = taken.clone();
    all.sort_unstable();
    assert_eq!(all, (1..=orders.len() as u64).collect::<Vec<_>>(), "seed {seed}: each effect once");
    taken
}

#[test]
fn on_a_bad_day_nothing_is_lost_and_no_effect_comes_twice() {
    let orders: Vec<Sent> = (1..=ORDERS).map(|n| plain(n, u32::from(n % 20 == 7))).collect();
    balance(SEED, "orders", &orders);
}

#[test]
fn on_a_bad_day_groups_keep_their_order() {
    let one = |n| order(n, &format!("g-{}", n % 25), u32::from(n % 40 == 7));
    let taken = balance(SEED, "orders.fifo", &(1..=ORDERS).map(one).collect::<Vec<_>>());
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for number in taken {
        let before = last.insert(number % 25, number);
        assert!(before < Some(number), "order {number} of its group came after {before:?}");
    }
}

#[test]
fn extensions_that_are_refused_are_not_asked_for_all_the_time_and_status_says_so() {
    let stub = Stub::start();
    let body = "{\"do\": \"sleep\"}".to_owned();
    stub.send("orders", &[Sent { body, ..Sent::default() }]);
    stub.script(|call| match call.operation {
        Change | ChangeBatch => How::Refused(403, "AccessDenied"),
        _ => How::Well,
    });
    let url = stub.queue("orders");
    let source = format!(
        "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \
         \"2s\" }}"
    );
    let shop = Shop::new(&[Pipeline::new("orders", plugin("chaos"))
        .with("", &source)
        .with("handler", "timeout = \"8s\"")
        .with("retry", "max_attempts = 1")]);
    let worker = shop.worker();
    until("status says so", || {
        shop.status()["trouble"].as_str().is_some_and(|words| words.contains("AccessDenied")).then_some(())
    });
    until("its handler was ended, and it is a letter", || {
        (stub.counts("orders") == Counts::default()).then_some(())
    });
    // A lease of 1.8 s is to be extended for 1.2 s, every 0.18 s; that four times, as it comes again.
    let asked = stub.count(&[Change, ChangeBatch]);
    assert!((3..=60).contains(&asked), "asked {asked} times in 8 s");
    worker.stop();
    let letters = shop.letters();
    assert_eq!((letters.len(), &letters[0]["attempts"]), (1, &1.into()), "it was never run beside itself");
}

#[test]
fn a_letter_whose_answer_is_lost_is_written_once_where_the_service_knows_repetitions() {
    let stub = Stub::start();
    let bad = |n: u64| Sent { body: format!("{{\"id\": {n}}}"), ..order(n, &format!("g-{n}"), 0) };
    stub.send("orders.fifo", &(1..=20).map(bad).collect::<Vec<_>>());
    let mut tried: BTreeMap<String, u32> = BTreeMap::new();
    stub.script(move |call| {
        if !matches!(call.operation, Send | SendBatch) {
            return How::Well;
        }
        let mut lost = false;
        for entry in &call.entries {
            let times = tried.entry(entry.body.clone()).or_default();
            *times += 1;
            // More often than a client tries by itself.
            lost |= *times <= 4;
        }
        if lost { How::Lost } else { How::Well }
    });
    let target = format!("queue_url = \"{}\"", stub.queue("letters.fifo"));
    let shop = Shop::new(&[pipeline(&stub.queue("orders.fifo"), "").with("dead_letter", &target)]);
    shop.until_empty();
    assert_eq!(stub.counts("letters.fifo"), Counts { visible: 20, ..Counts::default() });
    assert_eq!(shop.status()["dead_letters_written"]["rejected"], 20);
}

/// No message is deleted before its letter is there.
#[test]
fn letters_that_are_refused_are_tried_again_and_their_messages_stay() {
    let stub = Stub::start();
    let poison = |n: u64| Sent { body: format!("{{\"id\": {n}}}"), ..plain(n, 0) };
    let orders: Vec<Sent> = (1..=100).map(|n| if n % 10 == 0 { poison(n) } else { plain(n, 0) }).collect();
    stub.send("orders", &orders);
    stub.script(|call| match call.operation {
        Send | SendBatch => How::Refused(400, "ThrottlingException"),
        _ => How::Well,
    });
    let target = format!("queue_url = \"{}\"", stub.queue("letters"));
    let shop = Shop::new(&[pipeline(&stub.queue("orders"), "").with("dead_letter", &target)]);
    let worker = shop.worker();
    until("the good ones are done", || (stub.counts("orders").unsettled() == 10).then_some(()));
    let tried = stub.count(&[Send, SendBatch]);
    until("the letters are tried again", || (stub.count(&[Send, SendBatch]) >= tried + 5).then_some(()));
    let deleted = |call: &Call| {
        let poison = |body: &str| number_in(body).is_some_and(|n| n % 10 == 0);
        matches!(call.operation, Delete | DeleteBatch) && call.entries.iter().any(|e| poison(&e.body))
    };
    assert!(!stub.calls().iter().any(deleted), "a message was deleted that has no letter");
    worker.log.wait("it says so", |line| line.says("a dead letter could not be written"));
    let trouble = || shop.status()["trouble"].as_str().map(str::to_owned);
    let said = until("the status says so", trouble);
    assert!(said.contains("dead letters cannot be written: ThrottlingException"), "{said}");
    stub.behave();
    until("all are settled", || (stub.counts("orders") == Counts::default()).then_some(()));
    assert_eq!(trouble(), None);
    worker.stop();
    assert_eq!(stub.counts("letters").visible, 10);
    assert_eq!(taken(&worker.log).len(), 90);
}
