//! Logging in: passwords that change, and TLS as the URL asks for it.

use crate::LONG_MS;
use pelton_core::broker::Settings;
use pelton_core::database::{DatabaseConfig, Password};
use pelton_core::ports::ErrorClass;
use pelton_postgres::PostgresConfig;
use pelton_tests::member::{Member, placed, wants};
use pelton_tests::postgres::{PASSWORD, Postgres, Setup};
use pelton_tests::settings::Table;
use pelton_tests::wait::until;
use std::sync::{Arc, Mutex};

fn configured(url: String, password: Option<Password>) -> PostgresConfig {
    let table = Table::default().with("url", url);
    let settings: &dyn Settings = &table;
    pelton_postgres::configure(settings, password)
}

#[test]
fn a_password_that_is_corrected_counts_from_then_on() {
    let server = Postgres::start_with(Setup { scram: true, ..Setup::default() });
    let db = server.database();
    let written = Arc::new(Mutex::new(Err("the file is not there".to_owned())));
    let read = written.clone();
    let password: Password = Arc::new(move || read.lock().unwrap().clone());
    let config = configured(db.url(), Some(password));
    let said = config.diagnose(&[]).problems.join("\n");
    assert!(said.contains("the file is not there"), "{said}");
    *written.lock().unwrap() = Ok("wrong".to_owned());
    let member = Member::open(&config, "one", wants(LONG_MS));
    assert_eq!(member.claim(&[placed(1)], false), Err(ErrorClass::Transient));
    let trouble = member.ledger().trouble().expect("it says why");
    assert!(trouble.contains("28P01") && trouble.contains("password"), "{trouble}");
    assert!(!trouble.contains("wrong"), "{trouble}");
    *written.lock().unwrap() = Ok(PASSWORD.to_owned());
    until("it is let in", || config.init().ok());
    until("it claims", || member.is_granted(&placed(1)).then_some(()));
}

#[test]
fn tls_is_as_the_url_asks_for_it() {
    let server = Postgres::start_with(Setup { tls: true, ..Setup::default() });
    let db = server.database();
    let port = server.address.rsplit_once(':').expect("host:port").1;
    db.run(&format!(
        "CREATE ROLE teller LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON SCHEMA public TO teller"
    ));
    let ca = server.certificate().display().to_string();
    let tried = |host: &str, query: &str| {
        let url = format!("postgres://teller:{PASSWORD}@{host}:{port}/{}?{query}", db.name);
        configured(url, None).diagnose(&[]).problems.join("\n")
    };
    // The tables are missing: so it was let in.
    let in_with_tls = |host: &str, query: &str| {
        let said = tried(host, query);
        assert!(said.contains("there is no pelton_schema"), "{host} {query}: {said}");
    };
    in_with_tls("localhost", &format!("sslmode=verify-full&sslrootcert={ca}"));
    in_with_tls("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ca}"));
    in_with_tls("127.0.0.1", "sslmode=require");
    in_with_tls("127.0.0.1", "sslmode=prefer");
    for (host, query, why) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}"), "certificate"),
        ("localhost", "sslmode=verify-full".to_owned(), "certificate"),
        ("localhost", "sslmode=verify-ca".to_owned(), "certificate"),
        ("localhost", "sslmode=disable".to_owned(), "28000"),
    ] {
        let said = tried(host, &query);
        assert!(said.contains(why) && said.contains("mend the URL"), "{host} {query}: {said}");
    }
    let missing = tried("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem");
    assert!(missing.contains("/nowhere.pem"), "{missing}");
}
