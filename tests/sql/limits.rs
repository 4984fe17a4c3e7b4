//! Bounds of results, of time, of numbers.

use crate::shop::{Shop, Wants, code, text};
use pelton_core::effects::{SqlError, SqlValue, TransactionState};
use std::time::{Duration, Instant};

#[test]
fn a_result_is_cut_at_its_bounds_and_the_transaction_stands() {
    let shop = Shop::wanting(Wants { max_rows: 100, max_result: 1 << 20, ..Wants::default() });
    let tx = shop.begin();
    let series = "SELECT generate_series(1, $1::int)";
    let rows = |n| tx.query(series, &[SqlValue::Integer(n)]).map(|rows| rows.rows.len());
    assert_eq!(rows(100), Ok(100));
    // A million rows are not made, let alone sent: the server is asked for one more than the bound.
    assert_eq!(rows(101), Err(SqlError::TooLarge(100)));
    assert_eq!(rows(50_000_000), Err(SqlError::TooLarge(100)));
    let long =
        |n| tx.query("SELECT repeat('x', $1::int)", &[SqlValue::Integer(n)]).map(|rows| rows.rows.len());
    assert_eq!(long(1_000_000), Ok(1));
    assert_eq!(long(1_100_000), Err(SqlError::TooLarge(1 << 20)));
    assert_eq!(long(20_000_000), Err(SqlError::TooLarge(1 << 20)));
    let many = "SELECT repeat('x', 20000) FROM generate_series(1, 90)";
    assert_eq!(tx.query(many, &[]), Err(SqlError::TooLarge(1 << 20)));
    assert_eq!(tx.transaction.standing(), TransactionState::Open);
    // What gives rows and changes some has changed all of them.
    let add = "INSERT INTO stock SELECT n::text, n FROM generate_series(1, 500) n RETURNING item";
    assert_eq!(tx.query(add, &[]), Err(SqlError::TooLarge(100)));
    assert_eq!(tx.value("SELECT count(*) FROM stock", &[]), SqlValue::Integer(500));
    // Rows that nobody wants have no bound but that of time.
    assert_eq!(tx.execute("SELECT n FROM generate_series(1, 1000) n", &[]), Ok(1000));
}

#[test]
fn ten_thousand_statements_are_the_most() {
    let shop = Shop::open();
    let tx = shop.begin();
    for _ in 0..10_000 {
        tx.stage(
            "INSERT INTO stock VALUES ('apple', 1) ON CONFLICT (item) DO UPDATE SET left_over = 2",
            &[],
        );
    }
    let one_more = tx.execute("SELECT 1", &[]);
    assert!(matches!(&one_more, Err(SqlError::Refused(words)) if words.contains("10000")), "{one_more:?}");
    assert_eq!(tx.transaction.standing(), TransactionState::Open);
}

#[test]
fn a_statement_that_sleeps_is_ended_and_has_failed() {
    let shop = Shop::wanting(Wants { statement_timeout: Duration::from_millis(200), ..Wants::default() });
    let tx = shop.begin();
    let begun = Instant::now();
    assert_eq!(code(tx.execute("SELECT pg_sleep(60)", &[])), "57014");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(
        matches!(tx.transaction.standing(), TransactionState::Failed(words) if words.contains("57014"))
    );
    // The bound is the transaction's, whatever a handler says for the session.
    let tx = shop.begin();
    tx.query("SELECT set_config('statement_timeout', '0', false)", &[]).unwrap();
    drop(tx);
    let tx = shop.begin();
    assert_eq!(code(tx.execute("SELECT pg_sleep(60)", &[])), "57014");
}

#[test]
fn parameters_have_bounds_too() {
    let shop = Shop::open();
    let tx = shop.begin();
    let many = vec![SqlValue::Null; 70_000];
    assert!(matches!(tx.query("SELECT 1", &many), Err(SqlError::Refused(_))));
    let large = text(&"x".repeat(17 << 20));
    assert!(matches!(tx.query("SELECT $1::text", &[large]), Err(SqlError::Refused(_))));
    let large = text(&"x".repeat(8 << 20));
    assert_eq!(tx.value("SELECT length($1::text)", &[large]), SqlValue::Integer(8 << 20));
    // Fewer than the statement has, or more.
    assert_eq!(code(tx.query("SELECT $1::int", &[])), "08P01");
}

#[test]
fn statements_are_prepared_once_whatever_their_number() {
    let shop = Shop::wanting(Wants { connections: 1, ..Wants::default() });
    for _ in 0..3 {
        let tx = shop.begin();
        for n in 0..300 {
            let value = tx.value(&format!("SELECT {n} + $1::int"), &[SqlValue::Integer(1)]);
            assert_eq!(value, SqlValue::Integer(n + 1));
        }
    }
    let tx = shop.begin();
    let kept = tx.value("SELECT count(*)::int FROM pg_prepared_statements", &[]);
    assert!(matches!(kept, SqlValue::Integer(200..=256)), "{kept:?}");
}
