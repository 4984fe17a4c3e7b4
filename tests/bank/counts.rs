//! What `status` counts, when the answers to commits are lost.

use crate::shared;
use pelton_tests::bank::{Bank, transfer_that};

/// Ends two sessions whose last word was a commit: under way, or just told.
const ENDS: &str = "SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT'
    AND application_name <> 'pelton-tests' ORDER BY random() LIMIT 2) AS x";

#[test]
fn a_session_that_ends_at_its_commit_is_counted_once() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = bank.site(&Bank::pipeline("max_in_flight = 64"));
    let lines: Vec<String> = (1..=200).map(|n| transfer_that(n, "plain")).collect();
    site.send_lines("transfers", &[], &lines);
    let worker = site.worker().ready();
    let look = bank.db.session();
    let mut ended = 0;
    bank.wait_doing(200, || ended += look.number(ENDS));
    Bank::settles(&site);
    worker.stop();
    bank.balance(1..=200);
    let status = site.status("transfers");
    let counted = (status.handled, status.duplicates, status.retries);
    assert!(ended > 0, "no session was at its commit");
    assert_eq!(counted, (200, 0, 0), "{ended} sessions ended: {status:?}{}", worker.log.tail());
}
