//! TLS and passwords: connections of handlers ask for the same as all others.

use crate::shop::{Shop, Wants, statement};
use pelton_core::effects::{SqlError, SqlValue};
use pelton_tests::postgres::{Db, Postgres, Setup};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn secure() -> (Arc<Postgres>, Db) {
    let server = Postgres::start_with(Setup { scram: true, tls: true, ..Setup::default() });
    let db = server.database();
    db.run("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'first'");
    (Arc::new(server), db)
}

#[test]
fn connections_and_cancel_requests_are_encrypted_and_a_password_that_changes_counts() {
    let (server, db) = secure();
    let (_, port) = db.address.split_once(':').unwrap();
    let certificate = server.certificate();
    let url = format!(
        "postgres://app@localhost:{port}/{}?sslmode=verify-full&sslrootcert={}",
        db.name,
        certificate.display()
    );
    let password = Arc::new(Mutex::new("first".to_owned()));
    let known = password.clone();
    let look_up: pelton_core::database::Password = Arc::new(move || Ok(known.lock().unwrap().clone()));
    let by = |connections| {
        let wants = Wants { connections, ..Wants::default() };
        Shop::by(server.clone(), db.clone(), &url, Some(look_up.clone()), &wants)
    };
    let (one, two) = (by(1), by(2));
    let tx = one.begin();
    let is_encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(tx.value(is_encrypted, &[]), SqlValue::Boolean(true));
    let pid = tx.value("SELECT pg_backend_pid()", &[]);
    let begun = Instant::now();
    one.runtime.block_on(async {
        let sleeps = tx.transaction.run(statement("SELECT pg_sleep(60)", &[]), false);
        tokio::time::timeout(Duration::from_millis(50), sleeps).await.unwrap_err();
    });
    drop(tx);
    assert_eq!(
        one.begin().value("SELECT pg_backend_pid()", &[]),
        pid,
        "it was cancelled, and is used again"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    // The second connection needs a login of its own.
    let _first = two.begin();
    db.run("ALTER ROLE app PASSWORD 'second'");
    let refused = two.runtime.block_on(two.database.begin(1)).map(drop);
    let Err(SqlError::Unavailable(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("28P01") && !words.contains("first"), "{words}");
    *password.lock().unwrap() = "second".to_owned();
    assert_eq!(two.begin().execute("SELECT 1", &[]), Ok(1));
}

#[test]
fn who_is_not_who_the_certificate_says_is_not_spoken_to() {
    let (server, db) = secure();
    let certificate = server.certificate();
    let url = format!(
        "postgres://postgres:postgres@{}/{}?sslmode=verify-full&sslrootcert={}",
        db.address,
        db.name,
        certificate.display()
    );
    let table = crate::shop::table(&url, &Wants::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async {
        let database = crate::shop::unchecked(&table);
        database.begin(1).await.map(drop)
    });
    let Err(SqlError::Unavailable(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("TLS"), "{words}");
}
