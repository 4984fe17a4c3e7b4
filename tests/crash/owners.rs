//! Fault 28: two workers on one data directory.

use crate::{good, orders_site};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::wait::until;

#[test]
fn a_second_worker_is_refused_with_78_and_says_who_owns_the_directory() {
    let site = orders_site();
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let first = site.worker().ready();
    let second = site.run(&["run", "--until-empty"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(78), "{said}");
    let owner = format!("is owned by another `pelton run` (process {})", first.pid);
    assert!(said.contains(&owner) && said.contains("data_dir"), "{said}");
    // The first goes on, and after its death the directory is free at once.
    books.send(&site, &[], &(1..=50).collect::<Vec<_>>(), good);
    until("the first handles them", || (site.status("orders").handled == 50).then_some(()));
    assert_eq!(first.kill().signal, Some(9));
    site.until_empty();
    books.balance(&site);
}
