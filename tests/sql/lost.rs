//! Futures that are dropped, connections that are lost: nothing goes on unseen, and nothing is handed on.

use crate::shop::{Shop, Wants, statement};
use pelton_core::effects::{SqlError, SqlValue, TransactionState};
use pelton_tests::proxy::Proxy;
use pelton_tests::wait::until;
use std::time::{Duration, Instant};

fn one_connection() -> Wants {
    Wants { connections: 1, ..Wants::default() }
}

/// Sessions of the pool that are in a transaction.
fn in_transaction(shop: &Shop) -> i64 {
    shop.db.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL \
         AND pid <> pg_backend_pid()",
    )
}

#[test]
fn what_is_dropped_is_rolled_back_and_its_connection_is_used_again() {
    let shop = Shop::wanting(one_connection());
    let pid = |tx: &crate::shop::Tx<'_>| tx.value("SELECT pg_backend_pid()", &[]);
    let tx = shop.begin();
    let first = pid(&tx);
    tx.execute("INSERT INTO stock VALUES ('apple', 1)", &[]).unwrap();
    drop(tx);
    let tx = shop.begin();
    assert_eq!(pid(&tx), first);
    assert_eq!(tx.value("SELECT count(*) FROM stock", &[]), SqlValue::Integer(0));
    tx.execute("SELECT 1 / 0", &[]).unwrap_err();
    drop(tx);
    assert_eq!(pid(&shop.begin()), first);
    until("nothing is open", || (in_transaction(&shop) == 0).then_some(()));
}

#[test]
fn no_statement_no_transaction() {
    let shop = Shop::wanting(one_connection());
    let tx = shop.begin();
    assert!(matches!(tx.execute("COMMIT", &[]), Err(SqlError::Refused(_))));
    // The ledger's own are short.
    until("nothing is open", || (in_transaction(&shop) == 0).then_some(()));
    drop(tx);
}

#[test]
fn what_is_dropped_in_the_middle_is_cancelled_and_the_connection_is_clean() {
    let shop = Shop::wanting(one_connection());
    let tx = shop.begin();
    let pid = tx.value("SELECT pg_backend_pid()", &[]);
    let begun = Instant::now();
    shop.runtime.block_on(async {
        let sleeps = tx.transaction.run(statement("SELECT pg_sleep(30)", &[]), false);
        tokio::time::timeout(Duration::from_millis(50), sleeps).await.unwrap_err();
    });
    drop(tx);
    let next = shop.begin();
    assert_eq!(next.value("SELECT pg_backend_pid()", &[]), pid, "it is the same connection");
    assert!(begun.elapsed() < Duration::from_secs(10), "it was not waited for");
    // A cancel request that came late would end one of these.
    for _ in 0..200 {
        next.execute("SELECT 1", &[]).unwrap();
    }
    assert_eq!(next.transaction.standing(), TransactionState::Open);
}

#[test]
fn a_future_that_is_dropped_loses_nothing_of_the_transaction() {
    let shop = Shop::open();
    let tx = shop.begin();
    shop.runtime.block_on(async {
        let adds = tx
            .transaction
            .run(statement("INSERT INTO stock SELECT 'apple', 1 FROM pg_sleep(0.2)", &[]), false);
        tokio::time::timeout(Duration::from_millis(20), adds).await.unwrap_err();
    });
    assert_eq!(
        tx.value("SELECT count(*) FROM stock", &[]),
        SqlValue::Integer(1),
        "what is asked next waits"
    );
}

#[test]
fn a_connection_that_is_lost_is_run_again_and_the_next_one_is_new() {
    let shop = Shop::wanting(one_connection());
    let tx = shop.begin();
    tx.execute("INSERT INTO stock VALUES ('apple', 1)", &[]).unwrap();
    shop.server.terminate_backends(&shop.db);
    let lost = tx.execute("SELECT 1", &[]);
    assert!(matches!(lost, Err(SqlError::Unavailable(_))), "{lost:?}");
    assert!(matches!(tx.transaction.standing(), TransactionState::Again(_)));
    drop(tx);
    // One that ends while nobody has it is not handed out.
    drop(shop.begin());
    shop.server.terminate_backends(&shop.db);
    until("a new one works", || shop.begin().execute("SELECT 1", &[]).ok());
}

#[test]
fn a_statement_that_is_under_way_when_the_server_dies_is_run_again() {
    let shop = Shop::open();
    let tx = shop.begin();
    tx.stage("SELECT pg_sleep(30)", &[]);
    until("it runs", || {
        let asks = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%'";
        (shop.db.number(asks) > 0).then_some(())
    });
    shop.server.terminate_backends(&shop.db);
    let lost = tx.execute("SELECT 1", &[]);
    assert!(matches!(lost, Err(SqlError::Unavailable(_))), "{lost:?}");
    assert!(matches!(tx.transaction.standing(), TransactionState::Again(_)));
}

#[test]
fn there_are_never_more_connections_than_are_allowed() {
    let shop = Shop::wanting(Wants { connections: 2, ..Wants::default() });
    let (one, two) = (shop.begin(), shop.begin());
    for tx in [&one, &two] {
        tx.execute("SELECT 1", &[]).unwrap();
    }
    let third = shop
        .runtime
        .block_on(async { tokio::time::timeout(Duration::from_millis(100), shop.database.begin(1)).await });
    assert!(third.is_err(), "it waits");
    drop(one);
    shop.begin().execute("SELECT 1", &[]).unwrap();
    drop(two);
    let of_shop = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'shop' AND pid <> pg_backend_pid() AND query LIKE '%SELECT 1%'";
    assert!(shop.db.number(of_shop) <= 2);
}

#[test]
fn a_database_that_is_away_is_said_and_comes_back() {
    let own = std::sync::Arc::new(pelton_tests::postgres::Postgres::start());
    let db = own.database();
    let shop = Shop::at(own, db, one_connection());
    shop.begin().execute("SELECT 1", &[]).unwrap();
    shop.server.stop_fast();
    let words = until("it is away", || match shop.runtime.block_on(shop.database.begin(1)) {
        Err(SqlError::Unavailable(words)) => Some(words),
        _ => None,
    });
    assert!(words.contains("cannot be connected to"), "{words}");
    shop.server.begin();
    until("it is back", || {
        let transaction = shop.runtime.block_on(shop.database.begin(1)).ok()?;
        shop.runtime.block_on(transaction.run(statement("SELECT 1", &[]), false)).ok()
    });
}

#[test]
fn over_a_slow_network_a_transaction_begins_with_its_first_statement() {
    let server = crate::shop::server();
    let db = server.database();
    let proxy = Proxy::plain(&db.address);
    let shop = Shop::at(server, db.by(&proxy.address), one_connection());
    let first = || shop.begin().execute("SELECT 1", &[]).unwrap();
    first();
    proxy.delay(Duration::from_millis(100));
    // One round trip for all of it. Before that the last one was rolled back, which is another.
    until("a round trip for each", || {
        first();
        let tx = shop.begin();
        let begun = Instant::now();
        tx.execute("SELECT 1", &[]).unwrap();
        (begun.elapsed() < Duration::from_millis(350)).then_some(())
    });
    // What is staged waits for nothing.
    let tx = shop.begin();
    let begun = Instant::now();
    (0..20).for_each(|_| tx.stage("SELECT 1", &[]));
    assert!(begun.elapsed() < Duration::from_millis(90), "{:?}", begun.elapsed());
    assert_eq!(tx.value("SELECT 2", &[]), SqlValue::Integer(2));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
