//! Effects together with everything else: cells of the table "Combinations" of docs/concepts/effects.md.

use pelton_tests::payment_gateway::{Gateway, Trouble};
use pelton_tests::payments::{balance, grants, order, order_of, payments, receipts, send, totals};
use pelton_tests::redis::Redis;
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rusqlite::Connection;
use serde_json::Value;
use std::path::PathBuf;

fn gateway() -> Gateway {
    Gateway::start("127.0.0.1:0", Trouble::default()).expect("somebody can listen")
}

/// The example handler with one of its words changed, in a file of the site.
fn payments_with(site: &Site, name: &str, word: &str, other: &str) -> PathBuf {
    assert_eq!(word.len(), other.len());
    let mut bytes = std::fs::read(pelton_tests::components::plugin("payments")).expect("it is built");
    let places: Vec<usize> =
        (0..bytes.len() - word.len()).filter(|at| bytes[*at..].starts_with(word.as_bytes())).collect();
    assert!(!places.is_empty(), "the example says {word:?}");
    places.iter().for_each(|at| bytes[*at..*at + other.len()].copy_from_slice(other.as_bytes()));
    let path = site.path().join(name);
    std::fs::write(&path, bytes).expect("it is written");
    path
}

fn all_done(site: &Site, handled: u64) {
    let is_done = || {
        let status = site.status("payments");
        (status.left() == 0 && status.handled == handled).then_some(())
    };
    until("all orders are handled", is_done);
}

/// The receipts that nobody has read yet, in the order in which they were sent.
fn unread_receipts(site: &Site) -> Vec<Value> {
    let db = Connection::open(site.data().join("pelton.db")).expect("the database is there");
    let sql = "SELECT body FROM messages WHERE id >> 40 = (SELECT id FROM queues WHERE name = 'receipts') \
               ORDER BY id";
    let mut statement = db.prepare(sql).expect("the tables are known");
    let bodies = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("they are read");
    bodies
        .map(|body| serde_json::from_slice(&body.expect("a body")).expect("each receipt is JSON"))
        .collect()
}

#[test]
fn without_deduplication_each_delivery_has_its_effects() {
    let gateway = gateway();
    let site = Site::new(&[payments(&gateway).replaced("dedup", "key = \"off\"")]);
    let said = String::from_utf8_lossy(&site.run(&["check"]).stderr).into_owned();
    assert!(said.contains("warning: pipelines.payments.dedup.key"), "{said}");
    site.send_lines("payments", &[], &[order(7), order(7)]);
    drop(site.until_empty());
    let books = gateway.books();
    assert_eq!((books.charges.len(), books.orders()), (2, vec![7, 7]));
    assert_eq!(totals(&site)["c2"], 214);
    assert_eq!(unread_receipts(&site).len(), 2);
}

#[test]
fn a_hot_key_counts_each_message_once() {
    let gateway = gateway();
    let site = Site::new(&[payments(&gateway).with("handler", "concurrency = 16"), receipts()]);
    site.send_lines("payments", &[], &(1..=100).map(|n| order_of(n, "ada")).collect::<Vec<_>>());
    drop(site.until_empty());
    balance(&site, &gateway, 1..=100, true);
    let status = site.status("payments");
    assert_eq!((status.handled, status.dead_letters), (100, 0));
}

#[test]
fn orders_of_few_customers_repeat_few_requests() {
    let gateway = gateway();
    let site = Site::new(&[payments(&gateway).with("handler", "concurrency = 16"), receipts()]);
    let customer = |n: u64| ["ada", "bob", "cy", "dee", "eve"][(n % 5) as usize];
    site.send_lines("payments", &[], &(1..=40).map(|n| order_of(n, customer(n))).collect::<Vec<_>>());
    drop(site.until_empty());
    balance(&site, &gateway, 1..=40, true);
    let requests = gateway.books().requests;
    // What only waits for another to be committed is not asked for again: some are, that ran at one time.
    assert!((40..=80).contains(&requests), "{requests} requests for 40 orders");
}

#[test]
fn a_lane_keeps_its_order_whatever_conflicts_it_has() {
    let gateway = gateway();
    let site = Site::new(&[payments(&gateway).with("handler", "concurrency = 16")]);
    // Beside the lane others write the same key.
    let lane: Vec<String> = (1..=40).map(|n| order_of(n, "ada")).collect();
    let others: Vec<String> = (41..=80).map(|n| order_of(n, "ada")).collect();
    site.send_lines("payments", &["--key", "lane"], &lane);
    site.send_lines("payments", &[], &others);
    drop(site.until_empty());
    balance(&site, &gateway, 1..=80, false);
    let receipts = unread_receipts(&site);
    let number = |receipt: &Value, name: &str| receipt[name].as_u64().expect("a number");
    let of_lane: Vec<u64> = receipts.iter().map(|r| number(r, "order")).filter(|n| *n <= 40).collect();
    assert_eq!(of_lane, (1..=40).collect::<Vec<_>>());
    // Serial: each receipt has the sum of all before it.
    let mut sum = 0;
    for receipt in &receipts {
        sum += number(receipt, "amount_cents");
        assert_eq!(number(receipt, "total_cents"), sum, "{receipt}");
    }
}

#[test]
fn a_letter_that_comes_back_keeps_its_key_unless_it_is_to_have_another() {
    let gateway = gateway();
    let site = Site::new(&[payments(&gateway)]);
    gateway.decline(true);
    send(&site, 1..=1);
    drop(site.until_empty());
    assert_eq!(site.letters("payments")[0]["cause"], "rejected");
    assert!(totals(&site).is_empty() && unread_receipts(&site).is_empty());
    site.done(&["dlq", "replay", "payments", "--all"]);
    drop(site.until_empty());
    gateway.decline(false);
    site.done(&["dlq", "replay", "payments", "--all", "--new-key"]);
    drop(site.until_empty());
    balance(&site, &gateway, 1..=1, false);
    let keys = gateway.books().keys;
    assert_eq!(keys.len(), 3);
    assert!(keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
}

#[test]
fn what_fails_on_a_canary_runs_on_the_old_version_with_the_same_keys() {
    let gateway = gateway();
    let rollout = "canary = 0.5\njudge_after = \"100000 messages\"\nmax_failure_increase = 1.0";
    let pipeline = payments(&gateway).with("handler", "reload = \"manual\"");
    let site = Site::new(&[pipeline.with("handler.rollout", rollout), receipts()]);
    // It charges, and then finds a total that is no number.
    payments_with(&site, "new.wasm", "total/", "toral/");
    let worker = site.worker().ready();
    (0..5).for_each(|n| drop(site.done(&["state", "set", "payments", &format!("toral/c{n}"), "none"])));
    site.done(&["deploy", "payments", "new.wasm"]);
    send(&site, 1..=60);
    all_done(&site, 60);
    until("the receipts are read", || (site.status("receipts").handled == 60).then_some(()));
    (0..5).for_each(|n| drop(site.done(&["state", "delete", "payments", &format!("toral/c{n}")])));
    balance(&site, &gateway, 1..=60, true);
    let books = gateway.books();
    assert!(books.repeats > 0, "some were charged by the canary first: {books:?}");
    assert_eq!(site.status("payments").dead_letters, 0);
    worker.stop();
}

#[test]
fn a_shadow_has_no_effects() {
    let gateway = gateway();
    let rollout = "shadow = true\ncanary = 1.0\njudge_after = \"100000 messages\"";
    let pipeline = payments(&gateway).with("handler", "reload = \"manual\"");
    let site = Site::new(&[pipeline.with("handler.rollout", rollout), receipts()]);
    payments_with(&site, "new.wasm", " charged: ", " CHARGED: ");
    let worker = site.worker().ready();
    site.done(&["deploy", "payments", "new.wasm"]);
    // A customer each: a conflict would ask the gateway once more.
    site.send_lines("payments", &[], &(1..=40).map(|n| order_of(n, &format!("c{n}"))).collect::<Vec<_>>());
    all_done(&site, 40);
    until("the receipts are read", || (site.status("receipts").handled == 40).then_some(()));
    balance(&site, &gateway, 1..=40, true);
    assert_eq!(gateway.books().requests, 40, "the shadow sent nothing");
    let said = site.done(&["versions", "payments"]);
    assert!(said.contains("refused"), "how many messages it was refused something on: {said}");
    worker.stop();
}

/// Until the worker has charged one more.
fn one_more(site: &Site, gateway: &Gateway, number: u64) {
    send(site, number..=number);
    until("it is charged", || (gateway.books().orders().contains(&number)).then_some(()));
}

fn rewrite(site: &Site, change: impl Fn(&str) -> String) {
    let path = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(&path, change(&text)).expect("it is written");
}

fn never_says(worker: &Worker, secret: &str) {
    let said = worker.log.lines().iter().any(|line| line.text.contains(secret));
    assert!(!said, "the log has a secret");
}

#[test]
fn a_reload_reads_secrets_anew_and_takes_away_nothing_that_is_in_use() {
    let gateway = gateway();
    let header = "headers = { authorization = { prefix = \"Bearer \", file = \"pay\" } }, methods";
    let granted = grants(&gateway).replacen("methods", header, 1);
    let site = Site::new(&[payments(&gateway).replaced("grants", &granted)]);
    let secret = |text: &str| std::fs::write(site.path().join("pay"), text).expect("it is written");
    secret("the-first-secret\n");
    let worker = site.worker().ready();
    one_more(&site, &gateway, 1);
    secret("the-second-secret\n");
    site.done(&["reload"]);
    one_more(&site, &gateway, 2);
    let wanted = ["Bearer the-first-secret", "Bearer the-second-secret"].map(str::to_owned);
    assert_eq!(gateway.books().authorizations, wanted.into());
    rewrite(&site, |text| {
        let keeps = |line: &&str| !line.starts_with("http = ");
        text.lines().filter(keeps).collect::<Vec<_>>().join("\n")
    });
    let refused = site.run(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("wasi:http/outgoing-handler"), "{said}");
    one_more(&site, &gateway, 3);
    ["the-first-secret", "the-second-secret"].iter().for_each(|secret| never_says(&worker, secret));
    worker.stop();
}

#[test]
fn a_crash_of_an_at_most_once_list_loses_a_message_and_its_effects_together() {
    let (redis, gateway) = (Redis::start(), gateway());
    let url = redis.url();
    let source =
        format!("type = \"redis-list\"\nurl = \"{url}\"\nlist = \"payments\"\ndelivery = \"at-most-once\"");
    let site = Site::new(&[payments(&gateway).with("source", &source)]);
    gateway.close();
    redis.push("payments", &[order(1).into_bytes()]);
    let worker = site.worker().ready();
    until("the gateway is asked", || (gateway.books().requests == 1).then_some(()));
    drop(worker.kill());
    gateway.open();
    redis.push("payments", &[order(2).into_bytes()]);
    drop(site.until_empty());
    // Of the first, the request alone has happened.
    assert_eq!(gateway.books().orders(), [1, 2]);
    assert_eq!(totals(&site), [("c2".to_owned(), 102)].into());
    assert_eq!(unread_receipts(&site).len(), 1);
}
