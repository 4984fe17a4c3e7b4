//! What is counted, through versions of the tables.

use crate::db::schema::{self, STEPS};
use crate::status;
use pelton_core::{Cause, Counter};
use rusqlite::Connection;

/// The first version of the tables in which counters are rows.
const ROWS: usize = 6;

#[test]
fn counters_that_were_columns_are_rows_with_equal_numbers() {
    let mut db = Connection::open_in_memory().unwrap();
    STEPS[..ROWS - 1].iter().for_each(|step| step(&db).unwrap());
    db.pragma_update(None, "user_version", ROWS as i64 - 1).unwrap();
    db.execute_batch(
        "INSERT INTO pipelines VALUES (1, 'orders', 'sha256:1', 1, 2, 3, 4, 5, 6, 7, 8);
         INSERT INTO pipelines(name) VALUES ('new');",
    )
    .unwrap();
    schema::migrate(&mut db).unwrap();
    let of = |name| status::read(&db, name, None, None, 0).unwrap();
    let found = of("orders");
    let expected = [(Counter::Handled, 1), (Counter::Duplicates, 2), (Counter::Retries, 3)];
    let causes = [Cause::Rejected, Cause::RetriesExhausted, Cause::CrashLoop, Cause::Invalid];
    let expected = expected.into_iter().chain(causes.map(Counter::of).into_iter().zip(4..));
    assert_eq!(found.counters, expected.collect());
    assert_eq!((found.dead_letters, found.handler.as_str()), (8, "sha256:1"));
    assert_eq!((of("new").counters, of("gone").counters), Default::default());
}

#[test]
fn a_counter_of_another_version_counts_for_nothing() {
    let mut db = Connection::open_in_memory().unwrap();
    schema::migrate(&mut db).unwrap();
    db.execute_batch(
        "INSERT INTO pipelines(id, name) VALUES (1, 'orders');
         INSERT INTO counters VALUES (1, 'handled', 3), (1, 'of_tomorrow', 9);",
    )
    .unwrap();
    let found = status::read(&db, "orders", None, None, 0).unwrap();
    assert_eq!(found.counters, [(Counter::Handled, 3)].into_iter().collect());
}
