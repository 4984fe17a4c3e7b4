//! A pooler between, which gives each transaction another of its connections.

use crate::shop::{Shop, Tx, Wants, code, text};
use pelton_core::effects::{SqlValue, TransactionState};

fn add(tx: &Tx<'_>, n: i64) -> Result<u64, pelton_core::effects::SqlError> {
    tx.execute("INSERT INTO stock VALUES ($1, $2)", &[text(&n.to_string()), SqlValue::Integer(n)])
}

#[test]
fn statements_that_are_not_there_any_more_are_parsed_each_time() {
    let shop = Shop::wanting(Wants { connections: 1, ..Wants::default() });
    let tx = shop.begin();
    add(&tx, 1).unwrap();
    tx.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$", &[]).unwrap();
    assert_eq!(code(add(&tx, 2)), "26000");
    assert!(
        matches!(tx.transaction.standing(), TransactionState::Again(_)),
        "it is not the message's fault"
    );
    drop(tx);
    let tx = shop.begin();
    add(&tx, 1).unwrap();
    add(&tx, 2).unwrap();
    let kept = tx.value("SELECT count(*)::int FROM pg_prepared_statements WHERE name <> ''", &[]);
    assert_eq!(kept, SqlValue::Integer(0), "none has a name");
}
