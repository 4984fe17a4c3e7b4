//! A write-ahead log that cannot be folded in, because somebody reads.

use super::support::*;
use crate::db::{self, Log};
use pelton_core::ports::Class;

#[test]
fn a_log_beyond_its_bound_stops_new_work_until_the_reader_has_gone() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let mut db = db::connect(&db::file(dir.path())).unwrap();
    let mut log = Log::take_over(&mut db).unwrap();
    let reader = db::connect(&db::file(dir.path())).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let seen: i64 = reader.query_row("SELECT count(*) FROM messages", [], |r| r.get(0)).unwrap();
    assert_eq!(seen, 0);
    worker.send(&numbers(0..10));
    assert!(!log.is_too_long(&db).unwrap());
    log.pretend_long();
    assert!(log.is_too_long(&db).unwrap());
    reader.execute_batch("COMMIT").unwrap();
    assert!(!log.is_too_long(&db).unwrap());
}

#[tokio::test]
async fn a_long_read_holds_up_nobody() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..500));
    let reader = db::connect(&db::file(dir.path())).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = |sql| reader.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM messages"), 500);
    let held = worker.take(500).await;
    let claims = worker.start(&held).await;
    for (delivery, claim) in held.iter().zip(claims) {
        assert_eq!(worker.complete(delivery, claim).await, Ok::<(), Class>(()));
    }
    assert_eq!(worker.status().queued, 0);
    assert_eq!(count("SELECT count(*) FROM messages"), 500, "the reader's snapshot has changed");
}
