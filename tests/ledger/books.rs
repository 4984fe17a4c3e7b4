//! What commands see and change.

use crate::Fleet;
use pelton_core::database::DatabaseConfig;
use pelton_core::ports::Verdict;
use pelton_tests::member::{configured, placed};
use pelton_tests::wait::until;

#[test]
fn what_is_known_of_a_message_is_shown_and_forgotten_unless_somebody_works_on_it() {
    let fleet = Fleet::new();
    let (one, item) = (fleet.member("one"), placed(1));
    let mut books = configured(&fleet.db).books().unwrap();
    assert_eq!(books.known("orders", &item).unwrap(), None);
    assert!(!books.forget("orders", &item).unwrap());

    let (claim, _) = one.start(&item);
    let known = books.known("orders", &item).unwrap().unwrap();
    assert_eq!((known.worker.as_deref(), known.attempts, known.completed_at_ms), (Some("one"), 1, None));
    let refused = books.forget("orders", &item).unwrap_err().to_string();
    assert!(refused.contains("the worker one has this message in work"), "{refused}");

    one.complete(&item, claim).unwrap();
    let known = books.known("orders", &item).unwrap().unwrap();
    assert!(known.completed_at_ms.is_some() && known.worker.is_none() && !known.lettered);
    assert_eq!(books.known("others", &item).unwrap(), None);
    assert_eq!(one.claim_one(&item), Verdict::Duplicate);
    assert!(books.forget("orders", &item).unwrap());
    assert_eq!(one.start(&item).1, 1);
}

#[test]
fn the_workers_of_a_ledger_are_told_with_what_they_have_in_work() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.member("one"), fleet.member("other"));
    for number in 0..3 {
        let _claimed = one.start(&placed(number));
    }
    let mut books = configured(&fleet.db).books().unwrap();
    let status = until("the heartbeats say so", || {
        let status = books.status("orders").unwrap();
        (status.claimed == 3 && status.workers.len() == 2).then_some(status)
    });
    let names: Vec<_> =
        status.workers.iter().map(|worker| (worker.name.as_str(), worker.claimed)).collect();
    assert_eq!(names, [("one", 3), ("other", 0)]);
    assert_eq!(books.status("others").unwrap().workers, []);
    other.close();
    assert_eq!(books.status("orders").unwrap().workers.len(), 1, "it has ended in order");
}
