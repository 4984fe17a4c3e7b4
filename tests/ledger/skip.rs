//! Messages that are given up on by hand where the ledger of a fleet is in PostgreSQL: the letter is there,
//! and what waited goes on, whoever of the fleet has it.

use crate::server;
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::postgres::Postgres;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::sqs::{LOGIN, Sent, Sqs};
use pelton_tests::wait::until;
use serde_json::Value;
use std::process::Output;
use std::sync::Arc;

const REASON: &str = "the producer wrote nonsense";

/// Two workers' folders with one ledger, which keeps the letters.
struct Sites {
    one: Site,
    other: Site,
    _server: Arc<Postgres>,
}

fn fleet(source: &str, retry: &str) -> Sites {
    let server = server();
    let db = server.database();
    let head = format!("[databases.shop]\nurl = {:?}", db.url());
    let pipeline = Pipeline::new("orders", plugin("orders"))
        .with("", source)
        .with("retry", &format!("max_attempts = 9\njitter = 0.0\n{retry}"))
        .with("ledger", "database = \"shop\"\nname = \"fleet\"")
        .with("dead_letter", "database = \"shop\"");
    let [one, other] = [(); 2].map(|()| Site::with(&head, std::slice::from_ref(&pipeline)));
    run(&one, &["db", "init", "--database", "shop"], true);
    Sites { one, other, _server: server }
}

fn long() -> &'static str {
    "initial_interval = \"1h\"\nmax_interval = \"1h\""
}

fn body(number: u64, failures: u32) -> String {
    format!(
        "{{\"id\": {number}, \"customer\": \"a\", \"amount_cents\": 5, \"gateway_down_for\": {failures}}}"
    )
}

fn run(site: &Site, words: &[&str], is_well: bool) -> String {
    let Output { status, stdout, stderr } =
        site.command(words).envs(LOGIN).output().expect("pelton can be started");
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.success(), is_well, "{words:?}: {out}{err}");
    if is_well { out.into_owned() } else { err.into_owned() }
}

fn status(site: &Site) -> Value {
    let all: Value = serde_json::from_str(&run(site, &["status", "--json"], true)).expect("it is JSON");
    all["pipelines"]["orders"].clone()
}

fn skip(place: &str) -> [&str; 6] {
    ["skip", "orders", place, "--reason", REASON, "--yes"]
}

/// The first waits for its retry; given up on in the worker that has it, the letter is everybody's.
fn gives_up(Sites { one, other, .. }: &Sites, place: &str) {
    let worker = one.worker_with(&[], &LOGIN).ready();
    until("it waits for its retry", || (status(one)["retries"] == 1).then_some(()));
    run(one, &skip(place), true);
    worker.log.wait("the other is taken", |line| line.says(" taken"));
    until("both are done with", || (status(one)["handled"] == 1).then_some(()));
    for site in [one, other] {
        let listed = run(site, &["dlq", "list", "orders", "--json"], true);
        let letters: Vec<Value> =
            listed.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert_eq!((&letters[0]["reason"], &letters[0]["failure"]), (&REASON.into(), &"skipped".into()));
        assert!(letters[0]["body"].as_str().is_some_and(|body| body.contains("gateway_down_for\": 5")));
    }
    worker.stop();
}

#[test]
fn of_kafka() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let record = |n, failures| Record {
        key: Some(b"a".to_vec()),
        value: Some(body(n, failures).into_bytes()),
        ..Record::default()
    };
    broker.produce("orders", &[record(1, 5), record(2, 0)]);
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], \
         group_id = \"orders\" }}",
        broker.address
    );
    let sites = fleet(&source, long());
    gives_up(&sites, "orders/0:0");
    assert_eq!(broker.committed("orders", "orders", 1), [Some(2)]);
    assert!(run(&sites.other, &skip("orders/0:0"), false).contains("was given up on before"));
    // Without a worker, by a member of the fleet that has never read.
    broker.produce("orders", &[record(3, 5), record(4, 0)]);
    run(&sites.other, &skip("orders/0:2"), true);
    let worker = sites.other.worker_with(&["--until-empty"], &LOGIN);
    assert_eq!(worker.wait().code, Some(0), "{}", worker.log.tail());
    assert_eq!(worker.log.lines().iter().filter(|line| line.says(" taken")).count(), 1);
    assert_eq!(broker.committed("orders", "orders", 1), [Some(4)]);
}

#[test]
fn of_sqs() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let sent = |n, failures| Sent { body: body(n, failures), ..Sent::default() };
    let ids = sqs.send(&url, &[sent(1, 5), sent(2, 0)]);
    let source = format!(
        "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", \
         visibility_timeout = \"5s\" }}"
    );
    // It is given up on as it comes again.
    let sites = fleet(&source, "initial_interval = \"4s\"\nmax_interval = \"4s\"");
    gives_up(&sites, &ids[0]);
    assert_eq!(sqs.counts(&url).unsettled(), 0);
}

#[test]
fn of_redis() {
    let redis = Redis::start();
    let entry = |n, failures| vec![("customer", b"a".to_vec()), ("body", body(n, failures).into_bytes())];
    let ids = redis.add("orders", &[entry(1, 5), entry(2, 0)]);
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"orders\", group = \"workers\", \
         body_field = \"body\", key_field = \"customer\" }}",
        redis.url()
    );
    let sites = fleet(&source, long());
    gives_up(&sites, &ids[0]);
    assert_eq!(redis.all_pending("orders", "workers"), 0);
    assert!(run(&sites.other, &skip(&ids[0]), false).contains("was given up on before"));
}
