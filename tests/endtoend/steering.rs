//! A pipeline that operators pause, slow down and have go on, over restarts, kills and reloads.

use crate::{order, orders, taken};
use pelton_tests::components::plugin;
use pelton_tests::postgres::Postgres;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// What the status says of the pipeline.
fn status(site: &Site) -> Value {
    let all: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("it is JSON");
    all["pipelines"]["orders"].clone()
}

fn refused(site: &Site, words: &[&str], code: i32, said: &str) {
    let output = site.run(words);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
    assert!(text.contains(said), "{words:?}: {text}");
}

fn send(site: &Site, numbers: std::ops::RangeInclusive<u64>) {
    site.send_lines("orders", &[], &numbers.map(|number| order(number, 0)).collect::<Vec<_>>());
}

fn handles(site: &Site, count: u64) {
    until("they are handled", || (site.status("orders").handled == count).then_some(()));
}

#[test]
fn a_pause_outlives_a_kill_a_reload_and_a_restart_and_says_who_why_and_until_when() {
    let site = orders(&[]);
    let worker = site.worker().ready();
    send(&site, 1..=3);
    handles(&site, 3);
    let said = site.done(&["pause", "orders", "--reason", "the database moves", "--for", "2h"]);
    assert!(
        said.contains("orders is paused until 20") && said.contains("of this data directory"),
        "{said}"
    );
    send(&site, 4..=8);
    assert_eq!(worker.kill().signal, Some(9));
    let (wanted, left) = (status(&site)["paused"].clone(), site.status("orders"));
    assert_eq!((&wanted["reason"], &wanted["scope"]), (&"the database moves".into(), &"worker".into()));
    assert!(wanted["by"].as_str().is_some_and(|by| by.contains('@')), "{wanted}");
    let lasts = wanted["until_ms"].as_u64().unwrap() - wanted["since_ms"].as_u64().unwrap();
    assert_eq!((lasts, left.queued, left.handled), (7_200_000, 5, 3));

    let worker = site.worker().ready();
    worker.log.wait("it begins paused", |line| line.says("paused: nothing is started"));
    assert_eq!(status(&site)["paused"], wanted, "a worker that begins has it as it was");
    let config = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[pipelines.orders]", "[pipelines.orders]\nmax_in_flight = 7"))
        .unwrap();
    assert!(site.done(&["reload"]).contains("orders has begun anew"));
    assert_eq!((status(&site)["paused"].clone(), status(&site)["ready"].clone()), (wanted, true.into()));
    assert_eq!(site.status("orders").handled, 3);
    let shown = site.done(&["status"]);
    assert!(
        shown.contains("orders is paused since 20") && shown.contains(", \"the database moves\", until 20"),
        "{shown}"
    );

    worker.stop();
    assert!(!worker.log.lines().iter().any(|line| line.says(" taken")), "{}", worker.log.tail());
    // Without a worker the next one goes on.
    assert!(site.done(&["resume", "orders"]).contains("orders goes on"));
    assert_eq!(status(&site)["paused"], Value::Null);
    site.until_empty();
    assert_eq!(site.status("orders").handled, 8);
}

#[test]
fn a_pause_ends_by_itself_and_one_without_an_end_when_it_is_resumed() {
    let site = orders(&[]);
    let worker = site.worker().ready();
    site.done(&["pause", "orders", "--for", "700ms"]);
    send(&site, 1..=3);
    worker.log.wait("it says so", |line| line.says("not paused any more"));
    handles(&site, 3);
    assert_eq!(status(&site)["paused"], Value::Null);
    site.done(&["pause", "orders"]);
    send(&site, 4..=6);
    assert!(status(&site)["paused"]["until_ms"].is_null());
    assert!(site.done(&["resume", "orders"]).contains("orders goes on"));
    handles(&site, 6);
    assert!(site.done(&["resume", "orders"]).contains("is not paused: nothing has changed"));
    worker.stop();
    assert_eq!(taken(&worker.log).len(), 6);
}

#[test]
fn what_cannot_be_steered_is_refused_with_words() {
    let site = orders(&[]);
    let _worker = site.worker().ready();
    for (words, code, said) in [
        (&["pause", "none"][..], 64, "there is no pipeline `none`"),
        (&["pause", "orders", "--partition", "orders/1"], 64, "queue orders has no partitions"),
        (&["pause", "orders", "--reason", "two\nlines"], 64, "the reason is a line of text"),
        (&["pause", "orders", "--for", "0s"], 64, "more than nothing"),
        (&["rate", "orders", "50/s"], 64, "say for how long, such as --for 10m"),
        (&["rate", "orders", "0/s", "--for", "1m"], 64, "must be a rate such as"),
        (&["reset", "orders", "--to-beginning", "--yes"], 64, "has no place that could be moved"),
        (&["logs", "none"], 64, "there is no pipeline `none`"),
    ] {
        refused(&site, words, code, said);
    }
    assert_eq!(
        (status(&site)["paused"].clone(), status(&site)["rate"].clone()),
        (Value::Null, Value::Null)
    );
}

#[test]
fn a_rate_holds_for_a_while() {
    let site = orders(&[]);
    let worker = site.worker().ready();
    let said = site.done(&["rate", "orders", "2/s", "--for", "1h"]);
    assert!(said.contains("orders starts at most 2 messages a second on each worker until 20"), "{said}");
    assert_eq!(status(&site)["rate"]["per_second"], 2.0);
    send(&site, 1..=12);
    handles(&site, 8);
    let at: Vec<_> =
        worker.log.lines().into_iter().filter(|line| line.says(" taken")).map(|line| line.at).collect();
    assert!(at[7] - at[3] >= std::time::Duration::from_millis(1_500), "{at:?}");
    assert!(site.done(&["rate", "orders", "configured"]).contains("has its configured rate"));
    handles(&site, 12);
    worker.stop();
}

#[test]
fn the_log_is_followed_from_beside_until_the_worker_ends() {
    let site =
        Site::new(&[Pipeline::new("orders", plugin("orders")), Pipeline::new("other", plugin("orders"))]);
    let worker = site.worker().ready();
    let mut command = site.command(&["logs", "orders", "--follow", "--json"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    // Its first lines are from before it came.
    let line: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!((&line["pipeline"], &line["message"]), (&"orders".into(), &"started".into()));
    site.done(&["send", "other", "--body", &order(7, 0)]);
    until("the other is handled", || (site.status("other").handled == 1).then_some(()));
    send(&site, 1..=1);
    let taken = lines.find(|line| line.contains(" taken")).unwrap();
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!((&taken["target"], &taken["fields"]["message_id"]), (&"guest".into(), &"orders/1".into()));
    assert_eq!(taken["pipeline"], "orders");
    assert!(site.done(&["logs", "--lines", "1000"]).contains("pipeline=other"));
    worker.stop();
    assert!(lines.all(|line| line.contains("orders")), "only what is said of it");
    assert!(follower.wait().unwrap().success(), "it ends with the worker");
    refused(&site, &["logs"], 1, "no worker runs on this data directory");
}

/// With the ledger in a database all workers of it are told, and so is one that begins.
#[test]
fn a_fleet_with_a_database_is_paused_and_resumed_from_anywhere() {
    let (server, redis) = (Postgres::start(), Redis::start());
    let db = server.database();
    let head = format!("[databases.shop]\nurl = {:?}", db.url());
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"orders\", group = \"workers\", \
         body_field = \"body\" }}",
        redis.url()
    );
    let pipeline = Pipeline::new("orders", plugin("orders"))
        .with("", &source)
        .with("ledger", "database = \"shop\"\nname = \"fleet\"");
    let sites = [(); 2].map(|()| Site::with(&head, std::slice::from_ref(&pipeline)));
    // Nobody works here.
    let outside = Site::with(&head, std::slice::from_ref(&pipeline));
    outside.done(&["db", "init", "--database", "shop"]);
    let first = sites[0].worker().ready();
    let said = sites[0].done(&["pause", "orders", "--reason", "all of you"]);
    assert!(said.contains("for every worker that has its ledger in postgres"), "{said}");
    let second = sites[1].worker().ready();
    second.log.wait("it begins paused", |line| line.says("paused: nothing is started"));
    send(&outside, 1..=3);
    for site in [&sites[0], &sites[1], &outside] {
        let paused = status(site)["paused"].clone();
        assert_eq!(
            (&paused["scope"], &paused["reason"]),
            (&"fleet".into(), &"all of you".into()),
            "{paused}"
        );
    }
    let handled = || sites.iter().map(|site| site.status("orders").handled).sum::<u64>();
    assert_eq!(handled(), 0);
    assert!(outside.done(&["resume", "orders"]).contains("orders goes on, for every worker"));
    until("they are handled", || (handled() == 3).then_some(()));
    for worker in [&first, &second] {
        worker.log.wait("it is told", |line| line.says("not paused any more"));
    }
    // One alone, beside what the fleet is told.
    let said = sites[0].done(&["pause", "orders", "--here"]);
    assert!(said.contains("for the worker of this data directory"), "{said}");
    assert_eq!(
        (&status(&sites[0])["paused"]["scope"], &status(&outside)["paused"]),
        (&"worker".into(), &Value::Null)
    );
    sites[0].done(&["resume", "orders"]);
    // A database that was set up before there was a place for it.
    db.run("DROP TABLE pelton_steering");
    refused(&sites[0], &["pause", "orders"], 1, "run `pelton db init`");
    refused(&outside, &["pause", "orders"], 1, "run `pelton db init`");
    outside.done(&["db", "init", "--database", "shop"]);
    sites[0].done(&["pause", "orders"]);
    first.stop();
    second.stop();
}
