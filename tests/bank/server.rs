//! That the server of the tests does what is asked of it.

use pelton_tests::postgres::{PASSWORD, Postgres, SUPERUSER, Session, Setup};
use pelton_tests::wait::until;

#[test]
fn it_keeps_what_was_committed_and_each_test_has_a_database() {
    let server = Postgres::start();
    let (one, other) = (server.database(), server.database());
    one.run("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 10)");
    assert!(other.session().try_run("SELECT * FROM t").unwrap_err().starts_with("42P01"));
    server.restart_immediate();
    assert_eq!(one.number("SELECT sum(n) FROM t"), 55);
    let held = one.session();
    until("the sessions before it have ended", || (one.sessions() == 1).then_some(()));
    // One that only asked may be on its way out.
    assert!(server.terminate_backends(&one) >= 1);
    assert!(held.try_run("SELECT 1").is_err(), "its backend is gone");
}

#[test]
fn it_locks_tables_stands_still_and_only_reads() {
    let server = Postgres::start();
    let db = server.database();
    db.run("CREATE TABLE t (n int)");
    let held = db.lock("t");
    let refused = db.session().try_run("SET lock_timeout = 50; INSERT INTO t VALUES (1)").unwrap_err();
    assert!(refused.starts_with("55P03"), "{refused}");
    drop(held);
    until("the lock is gone", || db.session().try_run("SET lock_timeout = 50; TABLE t").ok());
    server.set("default_transaction_read_only", Some("on"));
    let refused = until("it only reads", || db.session().try_run("INSERT INTO t VALUES (1)").err());
    assert!(refused.starts_with("25006"), "{refused}");
    server.set("default_transaction_read_only", None);
    until("it writes", || db.session().try_run("INSERT INTO t VALUES (1)").ok());
    server.freeze();
    server.thaw();
    assert_eq!(db.number("SELECT count(*) FROM t"), 1);
}

#[test]
fn it_asks_for_passwords_and_speaks_tls_only() {
    let server = Postgres::start_with(Setup { scram: true, tls: true, ..Setup::default() });
    server.admin().run(&format!("CREATE ROLE pelton LOGIN PASSWORD '{PASSWORD}'"));
    let db = server.database();
    assert!(Session::open(&db.address, &db.name, SUPERUSER).is_ok());
    let refused = Session::open(&db.address, &db.name, "pelton").err().unwrap_or_default();
    assert!(refused.starts_with("28000"), "without TLS: {refused}");
}
