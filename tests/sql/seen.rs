//! What one who tunes PostgreSQL sees of a message in the server's log of statements.

use crate::commit::{Work, complete};
use crate::shop::{Shop, Wants, text};
use pelton_core::effects::SqlValue;
use pelton_tests::postgres::Postgres;
use std::sync::Arc;

#[test]
fn a_message_is_its_bounds_its_statements_its_row_and_a_commit() {
    let server = Arc::new(Postgres::with_options("-c log_statement=all -c log_line_prefix=%p:"));
    let db = server.database();
    db.run("CREATE TABLE stock (item text PRIMARY KEY, left_over int NOT NULL)");
    let shop = Shop::at(server, db, Wants { connections: 1, ..Wants::default() });
    let add = "INSERT INTO stock VALUES ($1, 1)";
    let mut pid = String::new();
    for number in 0..2 {
        let work = Work::start(&shop, number);
        let tx = shop.begin();
        let SqlValue::Integer(own) = tx.value("SELECT pg_backend_pid()", &[]) else { panic!() };
        pid = own.to_string();
        tx.stage(add, &[text(&number.to_string())]);
        assert_eq!(complete(&shop, &[&work], tx).0, [Ok(())]);
    }
    let log = shop.server.log();
    let own = log.lines().filter_map(|line| line.strip_prefix(&format!("{pid}:LOG:  execute ")));
    let seen: Vec<&str> = own.map(|line| line.split_once(": ").expect("a name and a text").1).collect();
    let one = [
        "BEGIN",
        "SET LOCAL statement_timeout = 20000",
        "SET LOCAL lock_timeout = 10000",
        "SET LOCAL idle_in_transaction_session_timeout = 300000",
        "SELECT pg_backend_pid()",
        add,
        "SET LOCAL search_path TO DEFAULT",
        "WITH done AS (UPDATE pelton_processed p",
        "COMMIT",
    ];
    assert_eq!(seen.len(), 2 * one.len(), "nothing else, and nothing twice: {seen:#?}");
    for (seen, one) in seen.iter().zip(one.iter().cycle()) {
        assert!(seen.starts_with(one), "{seen}");
    }
}
