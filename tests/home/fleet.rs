//! Workers as processes: what people see of a database that keeps state and outbox, and what is there when
//! workers die.

use super::worker::server;
use pelton_tests::components::plugin;
use pelton_tests::postgres::Db;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Output;

/// What the handler wants and no message here names.
const OTHERS: &str = "others = { type = \"embedded\", queue = \"others\" }";

/// A pipeline that does what its messages say.
fn pipeline(source: &str, target: &str) -> Pipeline {
    Pipeline::new("deeds", plugin("deeds"))
        .with("", source)
        .with("grants", "state = true")
        .with("grants.outbox", target)
        .with("ledger", "database = \"shop\"\nname = \"fleet\"")
}

fn head(db: &Db) -> String {
    format!("[databases.shop]\nurl = {:?}", db.url())
}

fn mails(redis: &Redis) -> String {
    format!("mails = {{ type = \"redis-stream\", url = \"{}\", stream = \"mails\" }}", redis.url())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Those of an entry of a stream.
type Fields = Vec<(String, Vec<u8>)>;

/// How often each id is in a stream.
fn sent(redis: &Redis) -> BTreeMap<String, u32> {
    let entries: Vec<(String, Fields)> = redis.run("XRANGE", &["mails", "-", "+"]);
    let mut sent = BTreeMap::new();
    for (_, fields) in entries {
        let id = fields.into_iter().find(|(name, _)| name == "pelton-id").expect("it has its id").1;
        *sent.entry(String::from_utf8(id).expect("text")).or_default() += 1;
    }
    sent
}

#[test]
fn workers_that_are_killed_leave_state_and_messages_exact() {
    const COUNT: usize = 240;
    let (server, redis) = (server(), Redis::start());
    let db = server.database();
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"deeds\", group = \"g\", \
         claim_min_idle = \"1s\" }}",
        redis.url()
    );
    let pipeline = pipeline(&source, &mails(&redis));
    let sites = [0, 1].map(|_| Site::with(&head(&db), std::slice::from_ref(&pipeline)));
    sites[0].done(&["db", "init", "--database", "shop"]);
    let mut workers = sites.each_ref().map(|site| site.worker().ready());
    let body = br#"{"add": "total", "send": ["mails"], "key": "c"}"#;
    let entries: Vec<Vec<(&str, Vec<u8>)>> = vec![vec![("body", body.to_vec())]; COUNT / 4];
    let total = || -> u64 {
        let read = db.session().rows("SELECT convert_from(value, 'UTF8') FROM pelton_state");
        read.first().and_then(|row| row[0].as_ref()?.parse().ok()).unwrap_or(0)
    };
    for round in 0..4_usize {
        redis.add("deeds", &entries);
        let so_far = (round * COUNT / 4 + COUNT / 16) as u64;
        until("some are handled", || (total() >= so_far).then_some(()));
        let place = round % 2;
        assert_eq!(workers[place].kill().code, None, "it was killed");
        workers[place] = sites[place].worker().ready();
    }
    until("all are handled", || (total() >= COUNT as u64).then_some(()));
    until("all are sent", || (db.number("SELECT count(*) FROM pelton_outbox") == 0).then_some(()));
    workers.iter().for_each(pelton_tests::worker::Worker::stop);
    assert_eq!(total(), COUNT as u64, "each was counted once");
    let sent = sent(&redis);
    assert_eq!(sent.len(), COUNT);
    assert!(sent.values().all(|count| *count == 1), "the stream knows repetitions: {sent:?}");
}

#[test]
fn commands_look_at_the_database_and_change_it() {
    let (server, redis) = (server(), Redis::start());
    let db = server.database();
    let site = Site::with(&head(&db), &[pipeline("", &mails(&redis))]);
    site.done(&["db", "init", "--database", "shop"]);
    redis.kill();
    let worker = site.worker().ready();
    let body = r#"{"add": "total", "send": ["mails"], "key": "c"}"#;
    site.send_lines("deeds", &[], &vec![body.to_owned(); 3]);
    until("all are handled", || (site.status("deeds").handled == 3).then_some(()));
    assert_eq!(site.done(&["state", "get", "deeds", "total"]), "3\n");
    site.done(&["state", "set", "deeds", "total", "40"]);
    site.send_lines("deeds", &[], &[r#"{"add": "total"}"#.to_owned()]);
    until("it sees what was set", || {
        (site.done(&["state", "get", "deeds", "total"]) == "41\n").then_some(())
    });
    let json: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("it is JSON");
    assert_eq!(json["pipelines"]["deeds"]["outbox"]["mails"]["waiting"], 3, "{json}");
    worker.stop();
    assert_eq!(site.done(&["outbox", "list", "deeds", "--json"]).lines().count(), 3);
    db.run(
        "WITH gone AS (DELETE FROM pelton_outbox WHERE id = (SELECT min(id) FROM pelton_outbox) RETURNING *)
         INSERT INTO pelton_outbox_letters (target, committed_at, message_id, reason, key, headers, body)
         SELECT target, committed_at, message_id, 'no such stream', key, headers, body FROM gone",
    );
    let letters = site.done(&["dlq", "list", "deeds", "--cause", "outbox", "--json"]);
    let letter: Value = serde_json::from_str(&letters).expect("it is JSON");
    assert_eq!((&letter["reason"], &letter["target"]), (&"no such stream".into(), &"mails".into()));
    site.done(&["dlq", "replay", "deeds", "--cause", "outbox", "--all"]);
    assert_eq!(site.done(&["outbox", "list", "deeds", "--json"]).lines().count(), 3);
    let purged = site.done(&["outbox", "purge", "deeds", "--yes"]);
    assert_eq!(purged, "purged 3 messages of the outbox of deeds\n");
    let exported = site.done(&["state", "export", "deeds"]);
    assert_eq!(exported.lines().count(), 1);
    assert_eq!(
        site.done(&["state", "delete", "deeds", "--all"]),
        "removed 1 key from the store default of deeds\n"
    );
    std::fs::write(site.path().join("state.jsonl"), exported).expect("it is written");
    site.done(&["state", "import", "deeds", "state.jsonl"]);
    assert_eq!(site.done(&["state", "get", "deeds", "total"]), "41\n");
}

#[test]
fn an_embedded_target_gets_what_was_committed_in_the_database() {
    let server = server();
    let db = server.database();
    let reads = Pipeline::new("receipts", plugin("deeds"))
        .with("grants", "state = true")
        .with("grants.outbox", OTHERS);
    let site = Site::with(
        &head(&db),
        &[pipeline("", "mails = { type = \"embedded\", queue = \"receipts\" }"), reads],
    );
    site.done(&["db", "init", "--database", "shop"]);
    // What it sends on is a deed again, which the other pipeline does.
    let body = r#"{"add": "total", "send": ["mails"], "key": "c"}"#;
    site.send_lines("deeds", &[], &vec![body.to_owned(); 20]);
    site.until_empty();
    assert_eq!(site.status("deeds").handled, 20);
    assert_eq!(site.done(&["state", "get", "deeds", "total"]), "20\n");
    // It may not send: each is a letter there.
    assert_eq!(site.letters("receipts").len(), 20);
    assert_eq!(db.number("SELECT count(*) FROM pelton_outbox"), 0);
}

/// What was put into the queue and not noted in the database is put there again, and known by its id.
#[test]
fn an_embedded_target_has_each_message_once_though_workers_die() {
    const COUNT: usize = 80;
    let server = server();
    let db = server.database();
    // It may not send: each message is a letter there.
    let reads = Pipeline::new("receipts", plugin("deeds"))
        .with("grants", "state = true")
        .with("grants.outbox", OTHERS);
    let site = Site::with(
        &head(&db),
        &[pipeline("", "mails = { type = \"embedded\", queue = \"receipts\" }"), reads],
    );
    site.done(&["db", "init", "--database", "shop"]);
    let body = r#"{"add": "total", "send": ["mails"], "key": "c"}"#;
    let mut worker = site.worker().ready();
    for round in 1..=2_usize {
        site.send_lines("deeds", &[], &vec![body.to_owned(); COUNT / 2]);
        let so_far = (round * COUNT / 2 - COUNT / 4) as u64;
        until("some have come", || (site.status("receipts").dead_letters >= so_far).then_some(()));
        assert_eq!(worker.kill().code, None, "it was killed");
        worker = site.worker().ready();
    }
    until("all have come", || (site.status("receipts").dead_letters >= COUNT as u64).then_some(()));
    until("all are noted", || (db.number("SELECT count(*) FROM pelton_outbox") == 0).then_some(()));
    until("nothing is left", || (site.status("receipts").left() == 0).then_some(()));
    worker.stop();
    assert_eq!(site.done(&["state", "get", "deeds", "total"]), format!("{COUNT}\n"));
    assert_eq!(site.status("receipts").dead_letters, COUNT as u64, "each is there once");
}

#[test]
fn nothing_stays_behind_when_a_pipeline_moves_into_a_database() {
    let server = server();
    let db = server.database();
    let old = Pipeline::new("deeds", plugin("deeds"))
        .with("grants", "state = true")
        .with("grants.outbox", OTHERS);
    let site = Site::with(&head(&db), std::slice::from_ref(&old));
    site.done(&["db", "init", "--database", "shop"]);
    site.done(&["state", "set", "deeds", "total", "7"]);
    let before = std::fs::read_to_string(site.path().join("pelton.toml")).expect("it is there");
    let moved = format!("{before}\n[pipelines.deeds.ledger]\ndatabase = \"shop\"\n");
    std::fs::write(site.path().join("pelton.toml"), moved).expect("it is written");
    for words in [&["check"][..], &["run", "--until-empty"]] {
        let refused = site.run(words);
        let why = said(&refused);
        assert_eq!(refused.status.code(), Some(78), "{why}");
        assert!(why.contains("1 key of the store default would stay behind"), "{why}");
        assert!(why.contains("pelton state export deeds --data-dir"), "{why}");
    }
    let exported = site.done(&["state", "export", "deeds", "--data-dir"]);
    std::fs::write(site.path().join("state.jsonl"), exported).expect("it is written");
    site.done(&["state", "import", "deeds", "state.jsonl"]);
    site.done(&["state", "delete", "deeds", "--all", "--data-dir"]);
    site.done(&["check"]);
    site.send_lines("deeds", &[], &[r#"{"add": "total"}"#.to_owned()]);
    site.until_empty();
    assert_eq!(site.done(&["state", "get", "deeds", "total"]), "8\n");
}
