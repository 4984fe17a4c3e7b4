//! Several messages in one transaction: each can be undone alone.

use crate::shop::{Shop, Tx, Wants, code};
use pelton_core::effects::{SqlValue, TransactionState};

fn shop() -> Shop {
    Shop::wanting(Wants { per_chunk: true, connections: 1, ..Wants::default() })
}

fn items(tx: &Tx<'_>) -> Vec<SqlValue> {
    let rows = tx.query("SELECT item FROM stock ORDER BY item", &[]).expect("it works");
    rows.rows.into_iter().flatten().collect()
}

fn add(tx: &Tx<'_>, item: &str, left_over: i64) {
    tx.stage("INSERT INTO stock VALUES ($1, $2)", &[crate::shop::text(item), SqlValue::Integer(left_over)]);
}

#[test]
fn a_message_that_fails_is_undone_and_the_others_stay() {
    let shop = shop();
    assert_eq!(shop.database.shared_by(), Some(32));
    let tx = shop.begin_for(5);
    // Staged, and not waited for.
    tx.begins_message();
    add(&tx, "apple", 1);
    tx.begins_message();
    add(&tx, "pear", 1);
    assert_eq!(code(tx.execute("INSERT INTO stock VALUES ('apple', 2)", &[])), "23505");
    tx.undoes_message();
    assert_eq!(tx.transaction.standing(), TransactionState::Open);
    // Without a statement there is nothing to be undone.
    tx.begins_message();
    tx.undoes_message();
    // One that says no, though nothing failed.
    tx.begins_message();
    add(&tx, "plum", 1);
    tx.undoes_message();
    tx.begins_message();
    add(&tx, "quince", 1);
    assert_eq!(items(&tx), ["apple", "quince"].map(crate::shop::text));
}

#[test]
fn the_first_message_can_be_undone_too() {
    let shop = shop();
    let tx = shop.begin_for(2);
    tx.begins_message();
    assert_eq!(code(tx.execute("SELECT nothing", &[])), "42703");
    tx.undoes_message();
    assert_eq!(tx.transaction.standing(), TransactionState::Open);
    tx.begins_message();
    add(&tx, "apple", 1);
    assert_eq!(items(&tx), [crate::shop::text("apple")]);
}

/// A message has answered before the error of what it had staged is known: what is undone then is never that
/// of another, and nothing of it is committed.
#[test]
fn an_error_that_is_found_late_fails_all_of_them() {
    let shop = shop();
    let tx = shop.begin_for(3);
    tx.begins_message();
    add(&tx, "apple", 1);
    tx.begins_message();
    add(&tx, "pear", -1);
    tx.begins_message();
    tx.execute("SELECT 1", &[]).unwrap_err();
    tx.undoes_message();
    assert!(
        matches!(tx.transaction.standing(), TransactionState::Failed(words) if words.contains("23514"))
    );
    tx.begins_message();
    assert_eq!(code(tx.execute("SELECT 1", &[])), "25P02");
}

#[test]
fn thirty_two_messages_with_a_savepoint_each() {
    let shop = shop();
    let tx = shop.begin_for(32);
    for n in 0..32 {
        tx.begins_message();
        add(&tx, &format!("item {n:02}"), n);
        if n % 3 == 0 {
            tx.undoes_message();
        }
    }
    tx.begins_message();
    assert_eq!(items(&tx).len(), 21);
    drop(tx);
    assert_eq!(shop.db.number("SELECT count(*) FROM stock"), 0);
}
