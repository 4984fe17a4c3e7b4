//! A data directory that an older version has left: nothing in it is lost, or handled again.
//!
//! `tests/fixtures/make-780cde5` made it, with the program of that commit.

use pelton_tests::binary::root;
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site, Status};
use std::process::Command;

/// What the older program said of them: waiting, handled, duplicates, retries and dead letters.
const BEFORE: [(&str, [u64; 5]); 5] = [
    ("orders", [0, 6, 1, 2, 3]),
    ("numbers", [0, 6, 1, 0, 1]),
    ("bodies", [0, 2, 1, 0, 1]),
    ("events", [0, 2, 1, 0, 0]),
    ("slow", [4, 0, 0, 0, 0]),
];

fn older() -> Site {
    let pipeline = |name: &str, key: &str| {
        let retry = "max_attempts = 2\ninitial_interval = \"10ms\"\nmax_interval = \"20ms\"";
        // What is completed in it must not expire while there are later versions.
        let dedup = format!("key = \"{key}\"\nexpires_after = \"36500d\"");
        Pipeline::new(name, plugin("chaos"))
            .with("handler", "reload = \"manual\"")
            .with("retry", retry)
            .with("dedup", &dedup)
    };
    let site = Site::new(&[
        pipeline("orders", "message-id"),
        pipeline("numbers", "json:/id"),
        pipeline("bodies", "body").with("dead_letter", "queue = \"bodies-dlq\""),
        pipeline("events", "header:event-id"),
        pipeline("slow", "message-id"),
    ]);
    let packed = root().join("tests/fixtures/data-780cde5.tar.gz");
    let unpacked = Command::new("tar").arg("xzf").arg(packed).arg("-C").arg(site.path()).status();
    assert!(unpacked.expect("tar can be started").success());
    site
}

fn counts(status: Status) -> [u64; 5] {
    [status.left(), status.handled, status.duplicates, status.retries, status.dead_letters]
}

#[test]
fn its_counts_letters_and_versions_are_what_they_were() {
    let site = older();
    for (name, before) in BEFORE {
        assert_eq!(counts(site.status(name)), before, "{name}");
    }
    let letters = site.letters("orders");
    let of = |name: &str| letters.iter().map(|letter| letter[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("id"), [2, 3, 4]);
    assert_eq!(of("message_id"), ["orders/7", "orders/9", "twice"]);
    assert_eq!(of("cause"), ["rejected", "rejected", "retries-exhausted"]);
    assert_eq!(of("attempts"), [1, 1, 2]);
    assert_eq!((&letters[0]["key"], &letters[0]["body"]), (&"k1".into(), &r#"{"do":"reject"}"#.into()));
    assert_eq!(site.letters("bodies").len(), 1);
    let versions = site.done(&["versions", "events", "--json"]);
    let versions: serde_json::Value = serde_json::from_str(&versions).expect("it is JSON");
    assert_eq!(versions["versions"][0]["origin"], "/srv/orders/orders.wasm");
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_was_completed_stays_a_duplicate_and_the_rest_goes_on() {
    let site = older();
    let again = |pipeline: &str, more: &[&str], body: &str| {
        drop(site.done(&[&["send", pipeline, "--body", body], more].concat()));
    };
    for id in ["mine-1", "018bcfe5-687b-7abc-8def-0123456789ab"] {
        again("orders", &["--id", id], r#"{"do":"ok"}"#);
    }
    for id in ["17", "\"text\"", "true", "1.5", "-3"] {
        again("numbers", &[], &format!(r#"{{"do":"ok","id":{id}}}"#));
    }
    again("bodies", &[], r#"{"do":"ok"}"#);
    again("events", &["--header", "event-id=e-2"], r#"{"do":"ok"}"#);
    // These are new, though the older version took them for those it had: it cut off the last digits of
    // a number, and did not look at the ordering key.
    again("numbers", &[], r#"{"do":"ok","id":18446744073709551617}"#);
    again("bodies", &["--key", "k2"], r#"{"do":"ok"}"#);

    let said = site.until_empty().1.out;
    let expected = [
        ("orders", [0, 6, 3, 2, 3]),
        ("numbers", [0, 7, 6, 0, 1]),
        ("bodies", [0, 3, 2, 0, 1]),
        ("events", [0, 2, 2, 0, 0]),
        ("slow", [0, 4, 0, 0, 0]),
    ];
    for (name, after) in expected {
        assert_eq!(counts(Status::of(&said, name)), after, "{name}: {said}");
    }
}

#[test]
fn its_letters_come_back() {
    let site = older();
    assert!(site.done(&["dlq", "replay", "orders", "--id", "2"]).contains("replayed 1 letter"));
    assert!(site.done(&["dlq", "purge", "bodies", "--all"]).contains("purged 1 letter"));
    let said = site.until_empty().1.out;
    assert_eq!(counts(Status::of(&said, "orders"))[4], 3, "it is rejected again: {said}");
    assert_eq!(counts(Status::of(&said, "bodies"))[4], 0, "{said}");
}
