//! What people see of effects and do with them: state, messages that wait, letters of the outbox.

use pelton_tests::components::plugin;
use pelton_tests::ports;
use pelton_tests::postgres::Postgres;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;
use std::process::Output;

/// A pipeline that does what its messages say, with a target that nobody answers for.
fn deeds() -> Site {
    deeds_of(&format!(
        "mails = {{ type = \"redis-stream\", url = \"redis://127.0.0.1:{}\", stream = \"mails\" }}",
        ports::free(1)
    ))
}

fn deeds_of(targets: &str) -> Site {
    let pipeline = Pipeline::new("deeds", plugin("deeds"))
        .with("retry", "max_attempts = 2\ninitial_interval = \"20ms\"")
        .with("grants", "state = [\"default\", \"totals\"]")
        .with("grants.outbox", targets);
    Site::with("[stores.totals]", &[pipeline, Pipeline::new("copies", plugin("chaos"))])
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn state_is_read_written_and_moved_by_commands() {
    let site = deeds();
    let state = |words: &[&str]| site.done(&[&["state"], words].concat());
    assert_eq!(state(&["list", "deeds"]), "the store default of deeds has no keys\n");
    state(&["set", "deeds", "customer-7", "12"]);
    state(&["set", "deeds", "customer-9", "gr\u{fc}n\n"]);
    std::fs::write(site.path().join("bytes"), [0xff, 0, 7]).expect("the file is written");
    state(&["set", "deeds", "bytes", "--file", "bytes"]);
    assert_eq!(state(&["list", "deeds"]), "bytes\ncustomer-7\ncustomer-9\n");
    assert_eq!(json_lines(&state(&["list", "deeds", "--json"])).len(), 3);
    assert_eq!(state(&["get", "deeds", "customer-7"]), "12\n");
    let no_text = site.run(&["state", "get", "deeds", "bytes"]);
    assert!(said(&no_text).contains("3 bytes, which are no text: say --file"), "{no_text:?}");
    state(&["get", "deeds", "bytes", "--file", "again"]);
    assert_eq!(std::fs::read(site.path().join("again")).expect("it is written"), [0xff, 0, 7]);
    let one = json_lines(&state(&["get", "deeds", "bytes", "--json"]));
    assert_eq!((&one[0]["value"], &one[0]["value_encoding"]), (&"/wAH".into(), &"base64".into()));

    let exported = state(&["export", "deeds"]);
    assert_eq!(json_lines(&exported).len(), 3);
    let more = [r#"{"key": ""}"#, &exported, r#"{"key":"new","value":"1"}"#, "nonsense"].join("\n");
    std::fs::write(site.path().join("state.jsonl"), more).expect("the file is written");
    let imported = site.run(&["state", "import", "deeds", "state.jsonl", "--store", "totals"]);
    let words = said(&imported);
    assert_eq!(imported.status.code(), Some(1), "{words}");
    assert!(words.contains("line 1 was refused") && words.contains("line 7 was refused"), "{words}");
    assert_eq!(String::from_utf8_lossy(&imported.stdout), "set 4 keys in the store totals\n");
    // It is shared.
    assert_eq!(state(&["get", "copies", "new", "--store", "totals"]), "1\n");
    assert_eq!(state(&["list", "copies"]), "the store default of copies has no keys\n");

    state(&["delete", "deeds", "customer-7"]);
    let gone = site.run(&["state", "delete", "deeds", "customer-7"]);
    assert!(gone.status.code() == Some(1) && said(&gone).contains("has no key `customer-7`"), "{gone:?}");
    let long = "k".repeat(513);
    let refused = site.run(&["state", "set", "deeds", &long, "1"]);
    assert!(refused.status.code() == Some(64) && said(&refused).contains("513 bytes"), "{refused:?}");
    let unknown = site.run(&["state", "list", "deeds", "--store", "nowhere"]);
    assert!(unknown.status.code() == Some(64) && said(&unknown).contains("default, totals"), "{unknown:?}");
}

#[test]
fn what_commands_change_beside_a_worker_its_messages_see() {
    let site = deeds();
    let worker = site.worker().ready();
    let is = |value: &str| {
        let wanted = format!("{value}\n");
        until("the total is counted", || {
            let got = site.run(&["state", "get", "deeds", "total"]);
            (got.status.success() && got.stdout == wanted.as_bytes()).then_some(())
        });
    };
    site.send_lines("deeds", &[], &vec![r#"{"add": "total"}"#.to_owned(); 3]);
    is("3");
    site.done(&["state", "set", "deeds", "total", "40"]);
    site.send_lines("deeds", &[], &[r#"{"add": "total"}"#.to_owned()]);
    is("41");
    worker.stop();
}

#[test]
fn messages_that_wait_are_shown_and_removed() {
    let site = deeds();
    let worker = site.worker().ready();
    let body = r#"{"add": "total", "send": ["mails"], "key": "c"}"#;
    site.send_lines("deeds", &[], &vec![body.to_owned(); 3]);
    let outbox = |words: &[&str]| site.run(&[&["outbox"], words].concat());
    let waiting = until("all wait in the outbox", || {
        let listed = json_lines(&String::from_utf8_lossy(&outbox(&["list", "deeds", "--json"]).stdout));
        (listed.len() == 3).then_some(listed)
    });
    let first = &waiting[0];
    assert_eq!(first["target"], "mails");
    assert_eq!((&first["key"], &first["body"]), (&"c".into(), &body.into()));
    let ids: std::collections::BTreeSet<String> =
        waiting.iter().map(|one| one["message_id"].to_string()).collect();
    assert_eq!(ids.len(), 3, "each has its own id: {ids:?}");
    let target = until("the worker says what is wrong with the target", || {
        let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("it is JSON");
        let target = status["pipelines"]["deeds"]["outbox"]["mails"].clone();
        (!target["trouble"].is_null()).then_some(target)
    });
    assert_eq!(target["waiting"], 3, "{target}");
    assert!(target["oldest_ms"].is_u64(), "{target}");
    let table = site.done(&["status"]);
    assert!(table.contains("mails") && table.contains("redis stream mails"), "{table}");
    worker.stop();

    let unsure = outbox(&["purge", "deeds"]);
    assert!(unsure.status.code() == Some(64) && said(&unsure).contains("--yes"), "{unsure:?}");
    let unknown = outbox(&["list", "deeds", "--target", "nowhere"]);
    assert!(unknown.status.code() == Some(64) && said(&unknown).contains("it has mails"), "{unknown:?}");
    let purged = outbox(&["purge", "deeds", "--target", "mails", "--yes"]);
    assert_eq!(
        String::from_utf8_lossy(&purged.stdout),
        "purged 3 messages of the outbox of deeds for the target mails\n"
    );
    let none = outbox(&["list", "deeds"]);
    assert_eq!(String::from_utf8_lossy(&none.stdout), "nothing waits in the outbox of deeds\n");
}

#[test]
fn a_letter_may_come_back_with_another_key() {
    let site = deeds();
    let key_of = || site.letters("deeds")[0]["headers"].clone();
    site.send_lines("deeds", &[], &[r#"{"then": "reject"}"#.to_owned()]);
    site.until_empty();
    assert_eq!(key_of(), Value::Array(Vec::new()));
    site.done(&["dlq", "replay", "deeds", "--all", "--new-key"]);
    site.until_empty();
    let first = key_of();
    assert_eq!(first[0]["name"], "pelton-new-key", "{first}");
    site.done(&["dlq", "replay", "deeds", "--all"]);
    site.until_empty();
    assert_eq!(key_of(), first, "it keeps the one that it has");
    site.done(&["dlq", "replay", "deeds", "--all", "--new-key"]);
    site.until_empty();
    let second = key_of();
    assert!(second != first && second.as_array().is_some_and(|all| all.len() == 1), "{first} {second}");
    let refused = site.run(&["dlq", "replay", "deeds", "--cause", "outbox", "--all", "--new-key"]);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
}

/// Of a store with a bound, wherever it is.
#[test]
fn a_shared_store_says_how_full_it_is_and_refuses_more() {
    let server = Postgres::start();
    let db = server.database();
    let shop = format!("[databases.shop]\nurl = {:?}\n[stores.totals]\nmax_bytes = 40", db.url());
    for (head, ledger) in [("[stores.totals]\nmax_bytes = 40", ""), (&*shop, "database = \"shop\"")] {
        let pipeline = Pipeline::new("payments", plugin("deeds"))
            .with("retry", "max_attempts = 1")
            .with("ledger", ledger)
            .with("grants", "state = [\"default\", \"totals\"]")
            .with("grants.outbox", "mails = { type = \"embedded\", queue = \"mails\" }");
        let site = Site::with(head, &[pipeline]);
        if !ledger.is_empty() {
            site.done(&["db", "init", "--database", "shop"]);
        }
        let store = |words: &[&str]| site.run(&[&["state"], words, &["--store", "totals"]].concat());
        assert!(
            said(&store(&["list", "payments"])).contains("holds 0 bytes of keys and values, of 40 at most")
        );
        site.send_lines("payments", &[], &[r#"{"add": "a", "store": "totals"}"#.to_owned()]);
        site.until_empty();
        assert!(said(&store(&["list", "payments"])).contains("holds 2 bytes"), "{ledger}");
        let long = format!(r#"{{"add": "{}", "store": "totals"}}"#, "k".repeat(40));
        site.send_lines("payments", &[], &[long, r#"{"add": "a", "store": "totals"}"#.to_owned()]);
        site.until_empty();
        let letters = site.letters("payments");
        let why = letters[0]["reason"].as_str().unwrap_or_default();
        assert!(letters.len() == 1 && why.contains("the store `totals` is full: it holds"), "{letters:?}");
        assert!(said(&store(&["list", "payments"])).contains("holds 2 bytes"), "{ledger}");
    }
}
