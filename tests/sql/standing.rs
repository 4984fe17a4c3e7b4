//! What a failure says of the message: it has failed, or others were in its way.

use crate::shop::{Shop, Wants, code, statement};
use pelton_core::effects::{SqlError, TransactionState};
use std::time::Duration;

#[track_caller]
fn is_again(standing: TransactionState, with: &str) {
    assert!(matches!(&standing, TransactionState::Again(words) if words.contains(with)), "{standing:?}");
}

#[test]
fn an_error_that_the_handler_swallows_fails_the_message() {
    let shop = Shop::open();
    let tx = shop.begin();
    tx.execute("INSERT INTO stock VALUES ('apple', 1)", &[]).unwrap();
    let refused = tx.execute("INSERT INTO stock VALUES ('apple', 1)", &[]);
    let Err(SqlError::Database { code: state, constraint, detail, .. }) = refused else { panic!() };
    assert_eq!((&*state, constraint.as_deref()), ("23505", Some("stock_pkey")));
    assert!(detail.unwrap().contains("(item)=(apple)"));
    let standing = tx.transaction.standing();
    assert!(
        matches!(&standing, TransactionState::Failed(why) if why.starts_with("a statement failed (23505: "))
    );
    // It stays so, and says why.
    let next = tx.execute("SELECT 1", &[]);
    assert!(
        matches!(&next, Err(SqlError::Database { code, message, .. })
        if code == "25P02" && message.contains("23505")),
        "{next:?}"
    );
    assert_eq!(tx.transaction.standing(), standing);
}

#[test]
fn an_error_that_nobody_waits_for_fails_the_message() {
    let shop = Shop::open();
    let tx = shop.begin();
    tx.stage("INSERT INTO stock VALUES ('apple', -1)", &[]);
    tx.stage("INSERT INTO stock VALUES ('pear', 1)", &[]);
    assert_eq!(code(tx.query("SELECT 1", &[])), "25P02");
    assert!(
        matches!(tx.transaction.standing(), TransactionState::Failed(words) if words.contains("23514"))
    );
}

#[test]
fn those_who_are_in_each_others_way_run_again() {
    let shop = Shop::open();
    shop.db.run("INSERT INTO stock VALUES ('apple', 10), ('pear', 10)");
    // 40P01: each waits for the other.
    let (one, two) = (shop.begin(), shop.begin());
    one.execute("UPDATE stock SET left_over = 9 WHERE item = 'apple'", &[]).unwrap();
    two.execute("UPDATE stock SET left_over = 9 WHERE item = 'pear'", &[]).unwrap();
    let waits =
        one.transaction.run(statement("UPDATE stock SET left_over = 8 WHERE item = 'pear'", &[]), false);
    let too =
        two.transaction.run(statement("UPDATE stock SET left_over = 8 WHERE item = 'apple'", &[]), false);
    let (first, second) = shop.runtime.block_on(async { tokio::join!(waits, too) });
    let loser = if first.is_err() { (&one, first) } else { (&two, second) };
    assert_eq!(code(loser.1), "40P01");
    is_again(loser.0.transaction.standing(), "40P01");
    drop((one, two));
    // 40001: somebody was faster.
    let tx = shop.begin();
    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", &[]).unwrap();
    tx.query("SELECT * FROM stock", &[]).unwrap();
    shop.db.run("UPDATE stock SET left_over = 5");
    assert_eq!(code(tx.execute("UPDATE stock SET left_over = 6", &[])), "40001");
    is_again(tx.transaction.standing(), "40001");
}

#[test]
fn who_waits_for_a_lock_runs_again_and_is_not_taken_for_slow() {
    let shop = Shop::wanting(Wants { statement_timeout: Duration::from_millis(600), ..Wants::default() });
    let migration = shop.db.lock("stock");
    let tx = shop.begin();
    assert_eq!(code(tx.query("SELECT * FROM stock", &[])), "55P03");
    is_again(tx.transaction.standing(), "55P03");
    drop(migration);
    drop(tx);
    assert_eq!(shop.begin().execute("SELECT * FROM stock", &[]), Ok(0));
}

#[test]
fn a_database_that_is_read_only_is_not_the_messages_fault() {
    let shop = Shop::open();
    shop.db.run(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", shop.db.name));
    let tx = shop.begin();
    assert_eq!(code(tx.execute("INSERT INTO stock VALUES ('apple', 1)", &[])), "25006");
    is_again(tx.transaction.standing(), "25006");
}

#[test]
fn a_table_that_changes_under_a_prepared_statement_costs_one_more_try() {
    let shop = Shop::wanting(Wants { connections: 1, ..Wants::default() });
    let ask = || shop.begin().query("SELECT * FROM stock", &[]).map(|rows| rows.columns.len());
    assert_eq!((ask(), ask()), (Ok(2), Ok(2)));
    shop.db.run("ALTER TABLE stock ADD COLUMN price numeric");
    let tx = shop.begin();
    assert_eq!(code(tx.query("SELECT * FROM stock", &[])), "0A000");
    is_again(tx.transaction.standing(), "cached plan");
    drop(tx);
    assert_eq!(ask(), Ok(3));
}
