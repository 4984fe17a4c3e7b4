//! Workers that should not be two, and ledgers that should not be one.

use crate::{Fleet, LONG_MS};
use pelton_core::database::{DatabaseConfig, DatabaseUse};
use pelton_core::ports::{ErrorClass, Verdict};
use pelton_tests::member::{Member, configured, placed, wants};
use pelton_tests::wait::until;

#[test]
fn a_copy_of_a_data_directory_stops_the_one_that_was_first() {
    let fleet = Fleet::new();
    // Heartbeats come often.
    let first = Member::open(&configured(&fleet.db), "copied", wants(1_000));
    let (claim, _) = first.start(&placed(1));
    first.complete(&placed(1), claim).unwrap();
    let second = Member::open(&configured(&fleet.db), "copied", wants(1_000));
    let trouble =
        until("it is told", || first.home.trouble().filter(|words| words.contains("data directory")));
    assert!(trouble.contains("copied") && trouble.contains("`data_dir` of its own"), "{trouble}");
    until("it claims no more", || {
        (first.claim(&[placed(2)], false) == Err(ErrorClass::Transient)).then_some(())
    });
    assert!(matches!(second.claim_one(&placed(3)), Verdict::Fresh { .. }));
    second.close();
    until("it is alone again", || first.is_granted(&placed(2)).then_some(()));
    assert_eq!(first.home.trouble(), None);
}

#[test]
fn another_source_under_the_same_name_is_refused_with_the_way_out() {
    let fleet = Fleet::new();
    let one = fleet.member("one");
    one.complete(&placed(1), one.start(&placed(1)).0).unwrap();
    let other = DatabaseUse { source: "another queue".to_owned(), ..wants(LONG_MS) };
    let member = Member::open(&configured(&fleet.db), "other", other.clone());
    let trouble = until("it is told at the start", || member.ledger().trouble());
    assert_eq!(member.claim(&[placed(1)], false), Err(ErrorClass::Transient));
    assert_eq!(member.home.trouble(), None, "the database is well");
    let found = configured(&fleet.db).diagnose(std::slice::from_ref(&other));
    for words in [trouble, found.problems.join("\n")] {
        assert!(words.contains("the tests' queue") && words.contains("another queue"), "{words}");
        assert!(words.contains("`ledger.name`"), "{words}");
    }
    let renamed = DatabaseUse { ledger: "orders-2".into(), ..other };
    assert_eq!(configured(&fleet.db).diagnose(std::slice::from_ref(&renamed)).problems, [""; 0]);
    let member = Member::open(&configured(&fleet.db), "third", renamed);
    assert!(
        matches!(member.claim_one(&placed(1)), Verdict::Fresh { .. }),
        "they know nothing of each other"
    );
}
