//! What a handler did in SQL, its state and what it sends: one transaction, or nothing of it.

use super::worker::{Worker, config, made, runtime, server};
use pelton_core::database::DatabaseConfig;
use pelton_core::effects::{Effects, OpenTransaction, Seen, StateEntry, Statement, Write};
use pelton_core::ports::ErrorClass;
use pelton_tests::postgres::Db;

/// A call that has inserted an order, counted it, and sent a receipt.
async fn handled(worker: &Worker, id: &str) -> Effects {
    let mut effects = Effects::default();
    let transaction = worker.sql.begin(1).await.expect("it is there");
    let insert = Statement { text: format!("INSERT INTO orders VALUES ('{id}')"), parameters: Vec::new() };
    transaction.run(insert, false).await.expect("it is inserted");
    effects.transaction = Some(OpenTransaction(transaction));
    let key = b"count".to_vec();
    let found =
        worker.state.read(worker.bucket, std::slice::from_ref(&key)).await.expect("it is read").remove(0);
    let count: u64 =
        found.bytes.map_or(0, |b| String::from_utf8(b).expect("text").parse().expect("a number"));
    effects.reads.push(Seen { bucket: worker.bucket, key: key.clone(), stamp: found.stamp });
    let value = Some((count + 1).to_string().into_bytes());
    effects.writes.push(Write { bucket: worker.bucket, key, value, stamp: worker.state.stamp() });
    effects.messages.push(worker.message(id, Some("k"), "receipt".to_owned()));
    effects
}

/// Orders, what was counted, and messages that wait.
fn there(db: &Db) -> (i64, String, i64) {
    let count = db.session().rows("SELECT convert_from(value, 'UTF8') FROM pelton_state");
    (
        db.number("SELECT count(*) FROM orders"),
        count.first().and_then(|row| row[0].clone()).unwrap_or_default(),
        db.number("SELECT count(*) FROM pelton_outbox"),
    )
}

#[test]
fn they_commit_together_or_not_at_all() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    db.run("CREATE TABLE orders (id text PRIMARY KEY)");
    let worker = runtime.block_on(async { Worker::open(&db, "one") });
    let first = runtime.block_on(async { worker.claim("1").await.expect("it is new") });
    let effects = runtime.block_on(handled(&worker, "1"));
    assert_eq!(runtime.block_on(worker.complete(first, effects)), Ok(()));
    assert_eq!(there(&db), (1, "1".to_owned(), 1));
    assert_eq!(runtime.block_on(worker.claim("1")), None, "the ledger has it too");

    let second = runtime.block_on(async { worker.claim("2").await.expect("it is new") });
    let effects = runtime.block_on(handled(&worker, "2"));
    let books = config(&db).home_books().expect("it is there");
    let bucket = books.known_bucket(Some("orders"), "default").expect("it is there").expect("it is made");
    let entry = StateEntry { key: b"count".to_vec(), value: b"40".to_vec() };
    books.state_set(bucket, &[entry]).expect("it is set");
    let told = runtime.block_on(worker.complete(second, effects));
    assert_eq!(told, Err(ErrorClass::Conflict), "somebody has changed what it has read");
    assert_eq!(there(&db), (1, "40".to_owned(), 1));
    let effects = runtime.block_on(handled(&worker, "2"));
    assert_eq!(runtime.block_on(worker.complete(second, effects)), Ok(()));
    assert_eq!(there(&db), (2, "41".to_owned(), 2));
}

/// Calls that run side by side and count the same: each sees what the one before has written, and follows it.
#[test]
fn one_that_has_read_what_another_is_committing_follows_it() {
    let (server, runtime) = (server(), runtime());
    let db = made(&server);
    db.run("CREATE TABLE orders (id text PRIMARY KEY)");
    let worker = runtime.block_on(async { Worker::open(&db, "one") });
    runtime.block_on(async {
        for pair in 0..10 {
            let ids = [0, 1].map(|n| format!("{pair}-{n}"));
            let [first, second] = [worker.claim(&ids[0]).await, worker.claim(&ids[1]).await];
            let one = handled(&worker, &ids[0]).await;
            one.show_by(&*worker.state);
            let other = handled(&worker, &ids[1]).await;
            let (first, second) = (first.expect("it is new"), second.expect("it is new"));
            // The later one is asked for first.
            let (other, one) = tokio::join!(worker.complete(second, other), worker.complete(first, one));
            assert_eq!((one, other), (Ok(()), Ok(())));
        }
    });
    assert_eq!(there(&db), (20, "20".to_owned(), 20));
}
