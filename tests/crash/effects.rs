//! The worker is killed where effects are committed, and where they are sent: the ledger, state, an embedded
//! queue and a broker agree.

use crate::points::crash_at;
use pelton_core::points::{EFFECT_NAMES, NAMES, OUTBOX_NAMES};
use pelton_tests::components::plugin;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};

fn site(redis: &Redis) -> Site {
    let targets = format!(
        "receipts = {{ type = \"embedded\", queue = \"receipts\" }}\n\
         mails = {{ type = \"redis-stream\", url = \"{}\", stream = \"mails\" }}",
        redis.url()
    );
    let deeds = Pipeline::new("deeds", plugin("deeds"))
        .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")
        .with("grants", "state = true")
        .with("grants.outbox", &targets);
    Site::new(&[deeds])
}

/// What one crash is tried on: some are well, some at their second attempt, one never. Each counts the same
/// key and sends to both targets.
fn send(site: &Site) {
    let deed =
        |more: &str| format!(r#"{{"add": "total", "send": ["receipts", "mails"], "key": "k"{more}}}"#);
    let late = deed(r#", "then": "retry", "times": 1"#);
    let lines = [vec![deed(""); 6], vec![late; 2], vec![deed(r#", "then": "reject""#)]].concat();
    site.send_lines("deeds", &[], &lines);
}

/// What the database says: how often the total was counted up, and the ids of what was sent.
fn committed(site: &Site) -> (u64, Vec<String>) {
    let db = Connection::open(site.data().join("pelton.db")).expect("the database opens");
    let total = db.query_row("SELECT value FROM state WHERE key = CAST('total' AS BLOB)", [], |row| {
        row.get::<_, Vec<u8>>(0)
    });
    let total = total.map_or(0, |text| String::from_utf8_lossy(&text).parse().expect("it is a number"));
    let sql = "SELECT message_id FROM messages
               WHERE id >> 40 = (SELECT id FROM queues WHERE name = 'receipts')";
    let mut ids = db.prepare(sql).expect("there are messages");
    let ids = ids.query_map([], |row| row.get(0)).expect("they can be read");
    (total, ids.map(|id| id.expect("it has an id")).collect())
}

/// Ledger, state and queue are of one commit, whenever they are looked at.
fn agree(site: &Site, when: &str) -> u64 {
    let handled = site.status("deeds").handled;
    let (total, receipts) = committed(site);
    let once: BTreeSet<&String> = receipts.iter().collect();
    let found = (total, receipts.len() as u64, once.len() as u64);
    assert_eq!(found, (handled, handled, handled), "{when}: total, receipts and their ids");
    handled
}

/// The ids of what the broker has.
fn mails(redis: &Redis) -> Vec<String> {
    let entries: Vec<(String, BTreeMap<String, String>)> = redis.run("XRANGE", &["mails", "-", "+"]);
    entries.into_iter().map(|(_, fields)| fields["pelton-id"].clone()).collect()
}

#[test]
fn what_was_staged_commits_once_and_is_sent_in_the_end_wherever_the_worker_dies() {
    let redis = Redis::start();
    let site = site(&redis);
    let (mut sent, mut again) = (0, 0);
    for point in [EFFECT_NAMES, OUTBOX_NAMES, NAMES].concat() {
        let times: &[u32] = if NAMES.contains(&point) { &[2] } else { &[1, 3] };
        for n in times.iter().copied() {
            send(&site);
            sent += 8;
            let when = format!("after {point}:{n}");
            let killed = crash_at(&site, point, n);
            assert!(killed || n == 3, "the worker never came to {point}");
            agree(&site, &when);
            let (worker, _) = site.until_empty();
            assert_eq!(agree(&site, &when), sent, "{when}{}", worker.log.tail());
            let mails = mails(&redis);
            let once: BTreeSet<&String> = mails.iter().collect();
            assert_eq!(once.len() as u64, sent, "{when}: sent to the broker{}", worker.log.tail());
            // What the broker had, and the worker had not noted: with the ids that it had.
            let repeated = mails.len() - once.len();
            assert!(repeated - again <= 8, "{when}: {repeated} are there again, {again} before");
            again = repeated;
        }
    }
    let letters = site.letters("deeds");
    assert!(letters.iter().all(|letter| letter["cause"] == "rejected"), "{letters:?}");
}
