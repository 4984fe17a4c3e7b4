//! Letters that go back while a worker fails them again; keys of bytes; waits that are too long.

use crate::{Shop, pipeline, source};
use pelton_tests::again::event_id;
use pelton_tests::components::{accepting, waiting};
use pelton_tests::site::{Pipeline, Status};
use pelton_tests::sqs::{LOGIN, Sent, Sqs};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;

const COUNT: u64 = 60;

fn bad(number: u64, group: Option<&str>) -> Sent {
    let dedup = group.map(|_| number.to_string());
    Sent { body: "no order".into(), group: group.map(str::to_owned), dedup, ..Sent::default() }
}

fn once(queue: &str, letters: &str, group: Option<&str>, rate: &str) {
    let sqs = Sqs::start();
    let (url, target) = (sqs.queue(queue, &[]), sqs.queue(letters, &[]));
    sqs.send(&url, &(0..COUNT).map(|number| bad(number, group)).collect::<Vec<_>>());
    let shop = Shop::new(&[pipeline(&url, "").with("dead_letter", &format!("queue_url = \"{target}\""))]);
    let worker = shop.worker().ready();
    let lettered =
        || (sqs.counts(&target).unsettled() == COUNT && sqs.counts(&url).unsettled() == 0).then_some(());
    until("all are letters", lettered);
    let replay = ["dlq", "replay", "orders", "--all", "--rate", rate];
    let ended = Worker::start(shop.0.command(&replay).envs(LOGIN)).wait();
    assert!(ended.out.starts_with("replayed 60 letters"), "{ended:?}");
    until("all are letters again", lettered);
    worker.stop();
}

#[test]
fn letters_of_a_standard_queue_go_back_once_though_a_worker_fails_them_again() {
    once("orders", "letters", None, "1000/s");
}

#[test]
fn letters_of_a_fifo_queue_go_back_once_though_a_worker_fails_them_again() {
    once("orders.fifo", "letters.fifo", Some("g"), "1000/s");
}

#[test]
fn a_binary_attribute_is_known_by_its_bytes() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let message = |n| Sent {
        body: "x".into(),
        attributes: vec![("event-id".into(), event_id(n))],
        ..Sent::default()
    };
    let all: Vec<Sent> = (0..100).chain(0..100).map(message).collect();
    sqs.send(&url, &all);
    let known = Pipeline::new("orders", accepting(dir.path()))
        .with("", &source(&url, ""))
        .with("dedup", "key = \"header:event-id\"");
    let shop = Shop::new(&[known]);
    let status = Status::of(&shop.until_empty().1.out, "orders");
    assert_eq!((status.handled, status.duplicates), (100, 100));
    let hex: String = event_id(7).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(shop.done(&["ledger", "show", "orders", &format!("hex:{hex}")]).contains("completed"));
}

/// The service keeps a message away for twelve hours at most, and says nothing when it is asked for more.
#[test]
fn a_wait_that_the_service_does_not_keep_is_cut_and_said() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    sqs.send(&url, &[bad(1, None)]);
    let site =
        Shop::new(&[Pipeline::new("orders", waiting(dir.path(), u64::MAX)).with("", &source(&url, ""))]);
    let worker = site.worker().ready();
    worker.log.wait("the first cut is said", |line| line.says("`retry.max_delay`: its messages"));
    worker.log.wait("the second is said", |line| line.says("12 hours at most"));
    until("it waits", || (sqs.counts(&url).in_flight == 1).then_some(()));
    worker.stop();
}
