//! The tables: made by whoever comes first, printed for others, and looked at by `check`.

use crate::{Fleet, LONG_MS, server};
use pelton_core::database::DatabaseConfig;
use pelton_core::ports::{ErrorClass, Verdict};
use pelton_postgres::PostgresConfig;
use pelton_tests::member::{Member, configured, placed, wants};
use pelton_tests::postgres::Db;
use pelton_tests::settings::Table;

/// As a user who may do nothing, in a database that all may connect to.
fn limited(db: &Db, user: &str) -> PostgresConfig {
    db.run(&format!("CREATE ROLE {user} LOGIN"));
    let url = format!("postgres://{user}@{}/{}", db.address, db.name);
    pelton_postgres::configure(&Table::default().with("url", url), None)
}

#[test]
fn four_who_make_the_tables_at_a_time_make_them_once() {
    let server = server();
    let db = server.database();
    let done: Vec<String> = std::thread::scope(|scope| {
        let made: Vec<_> = (0..4).map(|_| scope.spawn(|| configured(&db).init().unwrap())).collect();
        made.into_iter().flat_map(|made| made.join().unwrap()).collect()
    });
    let count = |what: &str| done.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("made pelton_processed"), count("nothing was done")), (1, 3), "{done:?}");
    assert_eq!(configured(&db).diagnose(&[wants(LONG_MS)]).problems, [""; 0]);
}

#[test]
fn who_may_make_no_tables_is_told_what_to_have_run() {
    let server = server();
    let db = server.database();
    let config = limited(&db, "ledger_limited");
    let missing = config.diagnose(&[wants(LONG_MS)]).problems.join("\n");
    assert!(
        missing.contains("pelton_processed") && missing.contains("pelton db init --print"),
        "{missing}"
    );
    let refused = config.init().unwrap_err().to_string();
    assert!(refused.contains("42501") && refused.contains("pelton db init --print"), "{refused}");
    // The statement that it names is all that it takes.
    let grant = "GRANT CREATE ON SCHEMA \"public\" TO \"ledger_limited\"";
    assert!(refused.contains(grant), "{refused}");
    let other = server.database();
    other.run(grant);
    let url = format!("postgres://ledger_limited@{}/{}", other.address, other.name);
    let made = pelton_postgres::configure(&Table::default().with("url", url), None).init().unwrap();
    assert!(made.iter().any(|line| line.contains("pelton_processed")), "{made:?}");
    let member = Member::open(&config, "one", wants(LONG_MS));
    assert_eq!(member.claim(&[placed(1)], false), Err(ErrorClass::Transient));
    let trouble = member.ledger().trouble().expect("it says why");
    assert!(trouble.contains("pelton_") && trouble.contains("pelton db init"), "{trouble}");

    configured(&db).init().unwrap();
    let lacking = config.diagnose(&[wants(LONG_MS)]).problems;
    let grant =
        lacking.iter().find_map(|words| words.split_once("have this run: ")).expect("what to run").1;
    assert!(grant.starts_with("GRANT SELECT"), "{lacking:?}");
    // Whoever may runs what is printed: once more does no harm.
    let printed = config.schema();
    db.run(&printed);
    db.run(&printed);
    assert_eq!(config.diagnose(&[wants(LONG_MS)]).problems, [""; 0]);
    pelton_tests::wait::until("the worker goes on by itself", || {
        member.is_granted(&placed(1)).then_some(())
    });
    assert_eq!(member.ledger().trouble(), None);
}

#[test]
fn a_worker_runs_with_tables_of_its_version_and_the_next() {
    let fleet = Fleet::new();
    let version = fleet.db.number("SELECT max(version) FROM pelton_schema");
    let add =
        |version: i64| fleet.db.run(&format!("INSERT INTO pelton_schema (version) VALUES ({version})"));
    add(version + 1);
    assert!(matches!(fleet.member("one").claim_one(&placed(1)), Verdict::Fresh { .. }));
    add(version + 2);
    let member = fleet.member("other");
    assert_eq!(member.claim(&[placed(2)], false), Err(ErrorClass::Transient));
    let trouble = member.ledger().trouble().expect("it says why");
    assert!(trouble.contains("upgrade it"), "{trouble}");
    let config = configured(&fleet.db);
    assert!(config.diagnose(&[]).problems.join("\n").contains("upgrade it"));
    assert!(config.init().unwrap_err().to_string().contains("use the program that made them"));
}
