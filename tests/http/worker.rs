//! Handlers that wait, in the real worker.

use crate::rig::guest_path;
use pelton_tests::gateway::Gateway;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::{Value, json};

/// A pipeline that may reach a gateway, with so many handlers at once.
fn calls(gateway: &Gateway, concurrency: usize) -> Pipeline {
    let grants = format!(
        "http = [{{ to = \"{}\", private = [\"127.0.0.1/32\", \"::1/128\"] }}]\n\
         http_limits = {{ max_concurrent = {concurrency} }}",
        gateway.origin()
    );
    Pipeline::new("calls", guest_path("http_caller"))
        .with("handler", &format!("concurrency = {concurrency}\nmemory = \"32MiB\""))
        .with("retry", "max_attempts = 2\ninitial_interval = \"20ms\"")
        .with("grants", &grants)
}

#[test]
fn a_hundred_messages_wait_at_once() {
    const MANY: usize = 100;
    let gateway = Gateway::plain();
    let site = Site::new(&[calls(&gateway, MANY)]);
    let order = |path: &str| json!({ "steps": [{ "url": gateway.url(path) }], "ok": true }).to_string();
    // At first nobody knows that they wait: chunks are of several messages, and cut.
    site.send_lines("calls", &[], &vec![order("/hold"); 3 * MANY]);
    let worker = site.worker().ready();
    until("all handlers are at the server at once", || (gateway.at_once().0 == MANY).then_some(()));
    assert_eq!(gateway.count(), MANY, "nobody has more than its share");
    gateway.release();
    until("all are done", || (site.status("calls").left() == 0).then_some(()));
    assert_eq!((gateway.count(), gateway.at_once().1), (3 * MANY, MANY));
    worker.stop();
}

#[test]
fn a_key_is_the_same_after_a_kill() {
    let gateway = Gateway::plain();
    let site = Site::new(&[calls(&gateway, 4)]);
    let step = json!({ "method": "POST", "url": gateway.url("/hold"), "body": "x" });
    site.send_lines("calls", &[], &[json!({ "steps": [step], "ok": true }).to_string()]);
    let worker = site.worker().ready();
    until("the request has come", || (gateway.count() == 1).then_some(()));
    drop(worker.kill());
    gateway.release();
    site.until_empty();
    let seen = gateway.seen();
    assert_eq!(seen.len(), 2);
    let key = seen[0].header("idempotency-key").expect("a key");
    assert_eq!(Some(key), seen[1].header("idempotency-key"));
    assert_eq!(key.len(), 32);
}

#[test]
fn a_denial_is_a_line_of_the_log_and_a_count() {
    let (gateway, elsewhere) = (Gateway::plain(), Gateway::plain());
    let site = Site::new(&[calls(&gateway, 4)]);
    let step = json!({ "url": elsewhere.url("/secret?token=abc") });
    site.send_lines("calls", &[], &[json!({ "steps": [step], "ok": true }).to_string()]);
    let worker = site.worker().ready();
    let said = worker.log.wait("it is said", |line| line.says("HTTP request has no answer"));
    assert_eq!((said.field("code"), said.field("pipeline")), ("HTTP-request-denied", "calls"));
    assert!(said.field("place").contains(&elsewhere.origin()) && !said.text.contains("token"), "{said:?}");
    assert_eq!(elsewhere.connections(), 0);
    let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    let counted = &status["pipelines"]["calls"]["counted"];
    assert!(counted["http_denied"].as_u64() >= Some(1) && counted["http_failed"].is_null(), "{counted}");
    worker.stop();
}
