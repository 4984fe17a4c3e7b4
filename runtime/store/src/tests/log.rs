//! A write-ahead log that cannot be folded in, because somebody reads.

use super::support::*;
use crate::db::{self, Folder, Log};
use pelton_core::ports::ErrorClass;

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
        assert_eq!(worker.complete(delivery, claim).await, Ok::<(), ErrorClass>(()));
    }
    assert_eq!(worker.status().queued, 0);
    assert_eq!(count("SELECT count(*) FROM messages"), 500, "the reader's snapshot has changed");
}

/// Commits pages until the log was begun anew so many times; the most pages it had meanwhile.
fn fold_again(log: &mut Log, db: &rusqlite::Connection, times: u32) -> u64 {
    let (mut before, mut most, mut anew) = (0, 0, 0);
    while anew < times {
        db.execute_batch("INSERT INTO filler SELECT randomblob(3500) FROM filler LIMIT 100").unwrap();
        let now = log.pages();
        anew += u32::from(now < before);
        (before, most) = (now, most.max(now));
        log.tend(db).unwrap();
    }
    most
}

#[test]
fn a_log_that_is_written_to_without_a_break_is_folded_in_beside_and_begun_anew() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let mut db = db::connect(&db::file(dir.path())).unwrap();
    let folder = Folder::start(&db::file(dir.path())).unwrap();
    let mut log = Log::take_over(&mut db).unwrap().with_folder(folder);
    db.execute_batch(
        "CREATE TABLE filler(x);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO filler SELECT randomblob(3500) FROM n;",
    )
    .unwrap();
    let most = fold_again(&mut log, &db, 3);
    assert!(most < 64_000, "{most} pages");
    log.fold_alone();
    let count =
        |db: &rusqlite::Connection| db.query_row("SELECT count(*) FROM filler", [], |r| r.get::<_, i64>(0));
    let written = count(&db).unwrap();
    drop((db, worker));
    let again = db::connect(&db::file(dir.path())).unwrap();
    assert_eq!(count(&again).unwrap(), written);
    let sound: String = again.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
