//! Waits that nobody could live to see the end of: of handlers, of senders, of older versions.

use pelton_core::broker::Outgoing;
use pelton_store::{Options, Store};
use pelton_tests::again::the_longest_wait_is_ours;
use pelton_tests::components::{accepting, waiting};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;

const DAY_MS: i64 = 86_400_000;

/// When the messages of the queue may be delivered, and how long they wait from when that was said.
fn due(site: &Site) -> Vec<(i64, i64)> {
    let db = rusqlite::Connection::open(site.data().join("pelton.db")).expect("the queue is there");
    let sql = "SELECT visible_at, visible_at - delayed_at FROM messages ORDER BY id";
    let mut rows = db.prepare(sql).expect("it has the table");
    let due = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("it is read");
    due.collect::<Result<_, _>>().expect("numbers")
}

#[test]
fn a_handler_that_asks_for_ever_waits_for_the_longest_wait() {
    for after_ms in [u64::MAX, i64::MAX.unsigned_abs(), i64::MAX.unsigned_abs() + 1, 201] {
        the_longest_wait_is_ours("", after_ms, 3, |site| {
            site.send_lines("orders", &["--key", "k"], &["a", "b", "c"].map(str::to_owned));
        });
    }
}

#[test]
fn a_week_is_the_longest_wait_where_nothing_is_said() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let site = Site::new(&[Pipeline::new("orders", waiting(dir.path(), u64::MAX))]);
    site.send_lines("orders", &[], &["a".to_owned()]);
    let worker = site.worker().ready();
    until("it waits for its retry", || (site.status("orders").delayed == 1).then_some(()));
    let status: serde_json::Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    assert_eq!(status["pipelines"]["orders"]["counted"]["waits_cut"], 1);
    worker.stop();
    assert_eq!(due(&site)[0].1, 7 * DAY_MS);
}

#[test]
fn a_delay_that_is_too_long_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let site = Site::new(&[Pipeline::new("orders", accepting(dir.path()))]);
    let refused =
        ["300000000000d", "8d", "36501d", "18446744073709551615ms", "9223372036854775807s", "-1s", "1e9d"];
    for delay in refused {
        let sent = site.run(&["send", "orders", &format!("--delay={delay}"), "--body", "x"]);
        let said = String::from_utf8_lossy(&sent.stderr).into_owned();
        assert_eq!(sent.status.code(), Some(64), "{delay}: {said}");
        assert!(said.contains("`max_delay`") || said.contains("36500d"), "{delay}: {said}");
    }
    for delay in ["7d", "1ms", "0s"] {
        site.done(&["send", "orders", "--delay", delay, "--body", "x"]);
    }
    let due = due(&site);
    assert_eq!(due.iter().map(|(_, wait)| *wait).collect::<Vec<_>>(), [7 * DAY_MS, 1, 0]);
}

/// Whatever the library is told, and what the version before this one has stored.
#[test]
fn no_time_is_a_negative_one() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let site = Site::new(&[Pipeline::new("orders", accepting(dir.path()))]);
    let store = Store::open_beside(&site.data(), Options::default()).expect("the store opens");
    let delays = [1, i64::MAX.unsigned_abs(), i64::MAX.unsigned_abs() + 1, u64::MAX];
    let message = |delay_ms| Outgoing { delay_ms: Some(delay_ms), ..Outgoing::default() };
    store.send("orders", &delays.map(message)).expect("they are sent");
    assert!(due(&site).iter().all(|(at, _)| *at > 0), "{:?}", due(&site));
    let db = rusqlite::Connection::open(site.data().join("pelton.db")).expect("the queue is there");
    db.execute("UPDATE messages SET visible_at = -visible_at WHERE id & 1", []).expect("it is written");
    drop((db, store));
    let worker = site.worker().ready();
    until("what came of a time before all times is handled", || {
        (site.status("orders").handled == 2).then_some(())
    });
    worker.stop();
}
