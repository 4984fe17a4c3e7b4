//! A database that is locked, read only, full of others, or ends its connections: claims stop and say why,
//! and go on by themselves.

use crate::Fleet;
use pelton_core::ports::{ErrorClass, Verdict};
use pelton_postgres::PostgresConfig;
use pelton_tests::member::{Member, configured, placed, wants};
use pelton_tests::settings::Table;
use pelton_tests::wait::until;

/// Claims until it is granted.
fn claims_in_the_end(member: &Member, number: u64) {
    until("it works again", || match member.claim(&[placed(number)], true) {
        Ok(verdicts) => {
            assert!(matches!(verdicts[0], Verdict::Fresh { attempt: 1, .. }), "{verdicts:?}");
            Some(())
        }
        Err(class) => {
            assert_eq!(class, ErrorClass::Transient);
            None
        }
    });
    assert_eq!(member.home.trouble(), None);
}

#[test]
fn a_table_that_is_locked_stops_claims_until_it_is_not() {
    let fleet = Fleet::new();
    let member = fleet.member("one");
    let (claim, _) = member.start(&placed(1));
    let lock = fleet.db.lock("pelton_processed");
    assert_eq!(member.claim(&[placed(2)], false), Err(ErrorClass::Transient));
    let trouble = member.ledger().trouble().expect("it says why");
    assert!(trouble.contains("55P03") && trouble.contains("pg_blocking_pids"), "{trouble}");
    drop(lock);
    assert_eq!(member.complete_in_the_end(&placed(1), claim), Ok(()));
    claims_in_the_end(&member, 2);
}

#[test]
fn a_database_that_cannot_be_written_to_says_so() {
    let fleet = Fleet::new();
    let member = fleet.member("one");
    let (claim, _) = member.start(&placed(1));
    let admin = fleet.server.admin();
    admin.run(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", fleet.db.name));
    fleet.server.terminate_backends(&fleet.db);
    until("it says why", || {
        assert_eq!(member.complete(&placed(1), claim), Err(ErrorClass::Transient));
        member.ledger().trouble().filter(|words| words.contains("25006") && words.contains("the primary"))
    });
    admin.run(&format!("ALTER DATABASE {} RESET default_transaction_read_only", fleet.db.name));
    fleet.server.terminate_backends(&fleet.db);
    assert_eq!(member.complete_in_the_end(&placed(1), claim), Ok(()));
    claims_in_the_end(&member, 2);
}

#[test]
fn a_server_without_room_says_what_to_raise() {
    let fleet = Fleet::new();
    fleet.db.run("CREATE ROLE ledger_crowded LOGIN CONNECTION LIMIT 0");
    let url = format!("postgres://ledger_crowded@{}/{}", fleet.db.address, fleet.db.name);
    let config: PostgresConfig = pelton_postgres::configure(&Table::default().with("url", url), None);
    let member = Member::open(&config, "one", wants(crate::LONG_MS));
    assert_eq!(member.claim(&[placed(1)], false), Err(ErrorClass::Transient));
    let trouble = member.ledger().trouble().expect("it says why");
    assert!(trouble.contains("53300") && trouble.contains("raise `max_connections`"), "{trouble}");
    fleet.db.run(
        "ALTER ROLE ledger_crowded CONNECTION LIMIT -1;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO ledger_crowded",
    );
    claims_in_the_end(&member, 1);
}

#[test]
fn connections_that_end_at_any_moment_lose_and_double_nothing() {
    let fleet = Fleet::new();
    let member = fleet.member("one");
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                fleet.server.terminate_backends(&fleet.db);
            }
        });
        for number in 0..25 {
            let item = placed(number);
            let claim = until("it is claimed", || match member.claim(std::slice::from_ref(&item), true) {
                Ok(verdicts) => match verdicts[0] {
                    Verdict::Fresh { claim, attempt: 1, crashed: false } => Some(claim),
                    verdict => panic!("{number}: {verdict:?}"),
                },
                Err(_) => None,
            });
            assert_eq!(member.complete_in_the_end(&item, claim), Ok(()));
        }
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    assert_eq!(fleet.db.number("SELECT count(*) FROM pelton_processed WHERE state = 'd'"), 25);
    // Nobody is left behind in the server.
    let other = Member::open(&configured(&fleet.db), "other", wants(crate::LONG_MS));
    assert_eq!(other.claim_one(&placed(7)), Verdict::Duplicate);
}
