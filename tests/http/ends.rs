//! Whatever a server stalls at, a call ends at its deadline, and its connection with it.

use crate::rig::*;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::Handler;
use pelton_host::{HandlerSpec, HttpLimits, WasmHandler};
use pelton_tests::gateway::{Certificates, Gateway, Leaf};
use pelton_tests::wait::until;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(700);

fn hurried(host: &pelton_host::Host, to: &str, certificates: Option<&Certificates>) -> Arc<WasmHandler> {
    let ca = certificates.map(Certificates::ca);
    let granted = granted(vec![grant(to)], HttpLimits { ca, ..limits() });
    load(host, &HandlerSpec { timeout: TIMEOUT, ..granted })
}

/// The deadline of a call ends it in time; the moment.
fn overdue(handler: &WasmHandler, url: &str) -> Instant {
    let order = json!({ "steps": [{ "url": url }] }).to_string();
    let since = Instant::now();
    let outcome = run(handler, vec![work("m", &order)]).remove(0);
    let took = since.elapsed();
    assert!(matches!(outcome, Outcome::Fault { kind: FaultKind::Timeout, .. }), "{url}: {outcome:?}");
    // Within 50 ms on a machine of its own; ten other things are done beside this.
    assert!(took >= TIMEOUT && took < TIMEOUT + Duration::from_millis(500), "{url}: {took:?}");
    since + took
}

#[test]
fn a_stall_ends_at_the_deadline_and_the_server_sees_the_close() {
    let gateway = Gateway::plain();
    let handler = hurried(&host(), &gateway.origin(), None);
    for (n, path) in ["/hang", "/stall", "/dribble", "/hold"].into_iter().enumerate() {
        let ended = overdue(&handler, &gateway.url(path));
        if path == "/hold" {
            gateway.release();
        }
        let closed = until("the server sees the close", || gateway.closed().get(n).copied());
        assert!(closed.saturating_duration_since(ended) < Duration::from_millis(500), "{path}");
    }
    assert_eq!(handler.http_counts().running, 0);
}

#[test]
fn a_stall_before_there_is_a_connection_ends_too() {
    let full = Gateway::full();
    let host = host();
    overdue(&hurried(&host, &full.origin(), None), &full.url("/ok"));
    let silent = Gateway::silent();
    let certificates = Certificates::make();
    let origin = format!("https://localhost:{}", silent.port);
    overdue(&hurried(&host, &origin, Some(&certificates)), &format!("{origin}/ok"));
    until("the server sees the close", || (silent.closed().len() == silent.connections()).then_some(()));
}

#[test]
fn the_pipelines_own_limits_of_time_are_errors() {
    let gateway = Gateway::plain();
    let full = Gateway::full();
    let silent = Gateway::silent();
    let tls = format!("https://localhost:{}", silent.port);
    let short = HttpLimits {
        connect_timeout: Duration::from_millis(300),
        timeout: Duration::from_millis(600),
        ca: Some(Certificates::make().ca()),
        ..HttpLimits::default()
    };
    let grants = vec![grant(&gateway.origin()), grant(&full.origin()), grant(&tls)];
    let handler = load(&host(), &granted(grants, short));
    for (url, word) in [
        (full.url("/ok"), "ConnectionTimeout"),
        (format!("{tls}/ok"), "ConnectionTimeout"),
        (gateway.url("/hang"), "HttpResponseTimeout"),
        (gateway.url("/stall"), "HttpResponseTimeout"),
        (gateway.url("/dribble"), "HttpResponseTimeout"),
    ] {
        let said = said(&handler, &url);
        assert!(said.contains(word), "{url}: {said}");
    }
    let hurried = one(&handler, &json!({ "url": gateway.url("/hang"), "first_byte_ms": 50 }));
    assert!(
        hurried["error"].as_str().is_some_and(|said| said.contains("ConnectionReadTimeout")),
        "{hurried}"
    );
}

#[test]
fn a_drain_ends_what_waits() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    let order = json!({ "steps": [{ "url": gateway.url("/hang") }] }).to_string();
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let kept = outcomes.clone();
    let done = handler.handle(
        vec![work("m", &order)],
        Box::new(move |_, all| kept.lock().expect("no panic").extend(all)),
    );
    until("the request has come", || (gateway.count() == 1).then_some(()));
    handler.interrupt();
    block_on(done);
    assert_eq!(*outcomes.lock().expect("no panic"), [(0, Outcome::Interrupted)]);
    until("the server sees the close", || (gateway.closed().len() == 1).then_some(()));
}

#[test]
fn a_hundred_handlers_wait_side_by_side_and_hold_up_nobody() {
    const MANY: usize = 100;
    let gateway = Gateway::plain();
    let host = host();
    let many = HttpLimits { max_concurrent: MANY, ..limits() };
    let granted = granted(vec![grant(&gateway.origin())], many);
    let handler = load(&host, &HandlerSpec { concurrency: MANY, ..granted });
    let order = json!({ "steps": [{ "url": gateway.url("/hold") }], "ok": true }).to_string();
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let calls: Vec<_> = (0..MANY)
        .map(|n| {
            let kept = outcomes.clone();
            let report = Box::new(move |_: &Arc<str>, all| {
                let mut kept: std::sync::MutexGuard<'_, Vec<(usize, Outcome)>> =
                    kept.lock().expect("no panic");
                kept.extend::<Vec<(usize, Outcome)>>(all);
            });
            handler.handle(vec![work(&format!("m{n}"), &order)], report)
        })
        .collect();
    until("all of them are at the server at once", || (gateway.at_once().0 == MANY).then_some(()));
    // On two threads, which none of those who wait holds.
    let neighbour =
        load(&host, &scripted(vec![grant("https://a.example")], pelton_host::HttpSwitch::Refused));
    assert_eq!(run(&neighbour, vec![work("n", "{\"steps\": [], \"ok\": true}")]), [Outcome::Ok(None)]);
    gateway.release();
    calls.into_iter().for_each(block_on);
    assert_eq!(outcomes.lock().expect("no panic").len(), MANY);
    assert!(outcomes.lock().expect("no panic").iter().all(|(_, outcome)| outcome.is_ok()));
}

#[test]
fn a_call_that_waits_hands_back_the_rest_of_its_chunk() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    let order = json!({ "steps": [{ "url": gateway.url("/hold") }], "ok": true }).to_string();
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let kept = outcomes.clone();
    let chunk = vec![work("a", &order), work("b", &order), work("c", &order)];
    let done = handler.handle(chunk, Box::new(move |_, all| kept.lock().expect("no panic").extend(all)));
    until("the others are handed back", || (outcomes.lock().expect("no panic").len() == 2).then_some(()));
    gateway.release();
    block_on(done);
    let outcomes = outcomes.lock().expect("no panic");
    assert_eq!(outcomes[..2], [(1, Outcome::NotStarted), (2, Outcome::NotStarted)]);
    assert_eq!(outcomes[2], (0, Outcome::Ok(None)));
}

#[test]
fn a_request_ends_with_the_call_that_has_made_it() {
    let gateway = Gateway::plain();
    let two = HttpLimits { max_concurrent: 2, ..limits() };
    let handler = load(&host(), &granted(vec![grant(&gateway.origin())], two));
    // Answers that nobody reads, on an instance that stays: their places are given back with the call.
    for _ in 0..3 {
        let forgotten = json!({ "url": gateway.url("/stall"), "forget": true });
        steps(&handler, &json!({ "steps": [forgotten, forgotten] }));
    }
    assert_eq!(said(&handler, &gateway.url("/ok")), "200");
    until("the server sees all of them closed", || (gateway.closed().len() >= 6).then_some(()));
}

#[test]
fn a_good_leaf_is_trusted_where_the_server_is_slow_at_nothing() {
    let certificates = Certificates::make();
    let gateway = Gateway::tls(&certificates, Leaf::Good, false);
    let handler = hurried(&host(), &gateway.origin(), Some(&certificates));
    assert_eq!(said(&handler, &gateway.url("/ok")), "200");
}
