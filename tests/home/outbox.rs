//! The outbox of a fleet: who sends, in which order, and that nothing is lost when whoever sends dies.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use super::worker::{Worker, made, pause, runtime, server};
use pelton_core::effects::{Effects, OutboxHome, RowEnd, Target};
use pelton_tests::postgres::Db;
use pelton_tests::random::Random;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

/// What was sent, in its order: ids of messages, with their keys.
type Sent = Arc<Mutex<Vec<(String, String)>>>;

/// Sends all that waits, as a relay does: from the beginning of each turn on.
async fn relays(outbox: Arc<dyn OutboxHome>, target: Target, sent: Sent) {
    let (mut turn, mut after) = (None, 0);
    loop {
        let now = outbox.turn(target);
        if now != turn {
            (turn, after) = (now, 0);
        }
        let page = match now {
            Some(_) => outbox.waiting(target, after, 16).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let Some(last) = page.last() else {
            tokio::select! {
                () = outbox.committed(target) => {}
                () = pause() => {}
            }
            continue;
        };
        after = last.row;
        let all = page.iter().map(|one| {
            let key = one.message.key.clone().unwrap_or_default();
            (one.message.id.to_string(), String::from_utf8(key).expect("text"))
        });
        sent.lock().unwrap().extend(all);
        let ends = page.iter().map(|one| (one.row, RowEnd::Sent)).collect::<Vec<_>>();
        while outbox.ended(ends.clone()).await.iter().any(Result::is_err) {
            pause().await;
        }
    }
}

/// Commits messages of one key, one after another, with a transaction that takes its time between the
/// insert and the commit: so numbers appear in another order than they were given.
fn writes(db: &Db, key: u64, count: u64) {
    let session = db.session();
    let mut random = Random(key);
    for number in 0..count {
        session.run(&format!(
            "BEGIN; INSERT INTO pelton_outbox (target, message_id, key, body)
             SELECT id, '{key}-{number}', '{key}', '' FROM pelton_targets WHERE name = 'audit'"
        ));
        std::thread::park_timeout(Duration::from_millis(random.below(8)));
        session.run("COMMIT");
    }
}

/// Each is there, and those of a key are in their order by the time they were sent first.
fn in_order(sent: &Sent, keys: u64, count: u64) {
    let mut first: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for (id, key) in sent.lock().unwrap().iter() {
        if seen.insert(id.clone()) {
            let number = id.split_once('-').expect("as it was written").1.parse().expect("a number");
            first.entry(key.clone()).or_default().push(number);
        }
    }
    assert_eq!(first.len() as u64, keys);
    for (key, numbers) in first {
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "key {key}");
    }
}

fn until(what: &str, fact: impl Fn() -> bool) {
    pelton_tests::wait::until(what, || fact().then_some(()));
}

/// The target has to be known to the database before sessions of the test write for it.
async fn named(worker: &Worker) {
    let claimed = worker.claim("first").await.expect("it is new");
    let mut effects = Effects::default();
    effects.messages.push(worker.message("x-0", Some("x"), String::new()));
    worker.complete(claimed, effects).await.expect("it commits");
}

#[test]
fn what_commits_late_is_not_passed_over() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let sent = Sent::default();
    let worker = runtime.block_on(async { Worker::open(&db, "one") });
    runtime.block_on(named(&worker));
    let task = runtime.spawn(relays(worker.outbox.clone(), worker.target, sent.clone()));
    std::thread::scope(|scope| {
        for key in 0..6 {
            let db = &db;
            scope.spawn(move || writes(db, key, 60));
        }
    });
    until("all is sent", || sent.lock().unwrap().len() as u64 >= 361);
    until("it is noted", || db.number("SELECT count(*) FROM pelton_outbox") == 0);
    task.abort();
    let mut all = sent.lock().unwrap();
    assert_eq!(all.len(), 361, "each once, since nobody died");
    all.retain(|(_, key)| key != "x");
    drop(all);
    in_order(&sent, 6, 60);
}

/// A transaction that has nothing to do with the outbox keeps nothing waiting, however long it takes.
#[test]
fn a_long_transaction_of_others_keeps_nothing_waiting() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let sent = Sent::default();
    let worker = runtime.block_on(async { Worker::open(&db, "one") });
    let others = db.session();
    others.run("CREATE TABLE others (n int); BEGIN; INSERT INTO others VALUES (1)");
    runtime.block_on(named(&worker));
    let task = runtime.spawn(relays(worker.outbox.clone(), worker.target, sent.clone()));
    until("it is sent", || !sent.lock().unwrap().is_empty());
    task.abort();
    others.run("COMMIT");
}

/// A relay that dies without a word: its task, and all it knew.
struct Dying {
    runtime: Runtime,
}

impl Dying {
    fn begin(db: &Db, name: &str, sent: &Sent) -> Self {
        let runtime = runtime();
        let worker = runtime.block_on(async { Worker::open(db, name) });
        let (outbox, target, sent) = (worker.outbox.clone(), worker.target, sent.clone());
        runtime.spawn(async move {
            let _alive = worker;
            relays(outbox, target, sent).await;
        });
        Self { runtime }
    }

    fn die(self) {
        self.runtime.shutdown_background();
    }
}

#[test]
fn another_takes_over_when_whoever_sends_dies() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let sent = Sent::default();
    let first = runtime.block_on(async { Worker::open(&db, "zero") });
    runtime.block_on(named(&first));
    runtime.block_on(first.home.close());
    let mut sends = Dying::begin(&db, "w0", &sent);
    until("the first sends", || !sent.lock().unwrap().is_empty());
    let waits = Dying::begin(&db, "w1", &sent);
    std::thread::scope(|scope| {
        for key in 0..4 {
            let db = &db;
            scope.spawn(move || writes(db, key, 150));
        }
        // One with the same data directory has the turn at once; then one that waited for it.
        until("some are sent", || sent.lock().unwrap().len() > 40);
        sends.die();
        let before = sent.lock().unwrap().len();
        sends = Dying::begin(&db, "w0", &sent);
        until("the same goes on", || sent.lock().unwrap().len() > before);
        sends.die();
    });
    until("the other has sent the rest", || db.number("SELECT count(*) FROM pelton_outbox") == 0);
    waits.die();
    sent.lock().unwrap().retain(|(_, key)| key != "x");
    in_order(&sent, 4, 150);
}

#[test]
fn one_sends_at_a_time_and_hands_over_in_order_without_a_repetition() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let (sent, mut open) = (Sent::default(), Vec::new());
    let first = runtime.block_on(async { Worker::open(&db, "zero") });
    runtime.block_on(named(&first));
    runtime.block_on(first.home.close());
    for name in ["w0", "w1"] {
        let worker = runtime.block_on(async { Worker::open(&db, name) });
        let task = runtime.spawn(relays(worker.outbox.clone(), worker.target, sent.clone()));
        open.push((worker, task));
    }
    std::thread::scope(|scope| {
        for key in 0..4 {
            let db = &db;
            scope.spawn(move || writes(db, key, 100));
        }
        until("some are sent", || sent.lock().unwrap().len() > 40);
        let has_turn = |worker: &Worker| worker.outbox.turn(worker.target).is_some();
        let sending = open.iter().filter(|(worker, _)| has_turn(worker)).count();
        assert_eq!(sending, 1);
        let place = open.iter().position(|(worker, _)| has_turn(worker)).expect("one sends");
        let (worker, task) = open.remove(place);
        // As a worker ends: its relay first.
        task.abort();
        until("the relay has ended", || task.is_finished());
        runtime.block_on(worker.home.close());
    });
    until("the other has sent the rest", || db.number("SELECT count(*) FROM pelton_outbox") == 0);
    let mut all = sent.lock().unwrap();
    all.retain(|(_, key)| key != "x");
    drop(all);
    in_order(&sent, 4, 100);
}

#[test]
fn what_waits_is_counted_and_what_is_refused_is_a_letter() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    let worker = runtime.block_on(async { Worker::open(&db, "one") });
    runtime.block_on(named(&worker));
    assert_eq!(worker.outbox.backlog(worker.target).rows, 1, "it knows at once of its own");
    writes(&db, 0, 3);
    until("others are counted too", || worker.outbox.backlog(worker.target).rows == 4);
    assert!(worker.outbox.backlog(worker.target).oldest_at_ms.is_some());
    until("it has the turn", || worker.outbox.turn(worker.target).is_some());
    let page = runtime.block_on(worker.outbox.waiting(worker.target, 0, 10)).expect("it is there");
    assert_eq!(page.len(), 4);
    assert_eq!(page[0].message.headers, [pelton_core::Header::new("a", "1")]);
    let ends = vec![(page[0].row, RowEnd::Sent), (page[1].row, RowEnd::Refused("too large\0".to_owned()))];
    assert_eq!(runtime.block_on(worker.outbox.ended(ends.clone())), [Ok(()), Ok(())]);
    assert_eq!(runtime.block_on(worker.outbox.ended(ends)), [Ok(()), Ok(())], "it is gone already");
    until("the rest is counted", || worker.outbox.backlog(worker.target).rows == 2);
    assert_eq!(db.session().text("SELECT reason FROM pelton_outbox_letters"), "too large\u{fffd}");
    assert_eq!(db.number("SELECT count(*) FROM pelton_outbox_letters"), 1);
}
