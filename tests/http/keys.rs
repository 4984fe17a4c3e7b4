//! Idempotency keys, and headers that a handler never has.

use crate::rig::*;
use pelton_core::message::{Channel, Message, Parts};
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use pelton_host::{HandlerSpec, Isolation};
use pelton_tests::gateway::Gateway;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};

fn keys(gateway: &Gateway) -> Vec<Option<String>> {
    gateway.seen().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect()
}

#[test]
fn a_key_is_the_same_each_time_and_different_for_each_request() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    let post = |path: &str| json!({ "method": "POST", "url": gateway.url(path), "body": "x" });
    let order =
        json!({ "steps": [post("/charge"), post("/charge"), post("/charge?b"), post("/status/503")] });
    let order = order.to_string();
    run(&handler, vec![work("m", &order)]);
    // Another instance, another attempt, another process' host.
    let fresh = granted(vec![grant(&gateway.origin())], limits());
    let fresh = load(&host(), &HandlerSpec { isolation: Isolation::Message, ..fresh });
    run(&fresh, vec![Work { attempt: 2, ..work("m", &order) }]);
    let all = keys(&gateway);
    assert_eq!(all[..4], all[4..]);
    assert_eq!(all[..4].iter().flatten().collect::<BTreeSet<_>>().len(), 4);
    // Of another message, and of the same id from elsewhere.
    run(&handler, vec![work("n", &order)]);
    run(&handler, vec![Work { scope: Some("another queue".into()), ..work("m", &order) }]);
    assert_eq!(keys(&gateway).into_iter().flatten().collect::<BTreeSet<_>>().len(), 12);
    assert_eq!(gateway.charges().values().filter(|count| **count == 2).count(), 3, "charged once by key");
}

#[test]
fn gets_have_none_and_the_handlers_own_wins() {
    let gateway = Gateway::plain();
    let mut other = grant(&gateway.origin());
    other.idempotency = Some("X-Payout-Idempotency".to_owned());
    let handler = caller(&host(), &[&gateway]);
    let url = gateway.url("/ok");
    let own =
        |value: &str| json!({ "method": "POST", "url": url, "headers": [["Idempotency-Key", value]] });
    let steps_all = json!({ "steps": [
        { "url": gateway.url("/ok") },
        { "method": "PUT", "url": gateway.url("/ok") },
        own("mine"), own(""),
        { "method": "PATCH", "url": gateway.url("/ok") },
    ]});
    steps(&handler, &steps_all);
    let found = keys(&gateway);
    assert_eq!(found[..4], [None, None, Some("mine".to_owned()), None]);
    assert!(found[4].is_some());
    let handler = load(&host(), &granted(vec![other], limits()));
    steps(&handler, &json!({ "steps": [{ "method": "POST", "url": gateway.url("/ok") }] }));
    let last = gateway.seen().pop().expect("a request");
    assert!(last.header("x-payout-idempotency").is_some() && last.header("idempotency-key").is_none());
}

#[test]
fn a_request_that_names_no_message_in_work_is_denied() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    let url = gateway.url("/ok");
    let named = |key: &str| json!({ "method": "POST", "url": url, "headers": [["pelton-message", key]] });
    let done = steps(&handler, &json!({ "steps": [named("orders:m"), named("orders:other")] }));
    assert_eq!(done[0]["status"], 200);
    assert!(done[1]["error"].as_str().is_some_and(|said| said.contains("HttpRequestDenied")), "{done:?}");
    assert!(gateway.seen().iter().all(|seen| seen.header("pelton-message").is_none()));
}

/// Everything that is logged.
#[derive(Default, Clone)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = self.0.lock().expect("no panic");
        *text += &format!("{}={value:?} ", field.name());
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_header_of_the_grant_is_in_no_log_and_no_reason() {
    const SECRET: &str = "sk_live_0123456789";
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).expect("the only one");
    let gateway = Gateway::plain();
    let mut with = grant(&gateway.origin());
    with.headers = vec![("authorization".to_owned(), format!("Bearer {SECRET}"))];
    let spec = granted(vec![with], limits());
    assert!(!format!("{spec:?}").contains(SECRET), "{spec:?}");
    let handler = load(&host(), &spec);
    let step = |path: &str| {
        let own = [["authorization", "Bearer guess"]];
        json!({ "method": "POST", "url": gateway.url(path), "headers": own, "body": "x" })
    };
    let paths = ["/ok", "/reset", "/close", "/garbage", "/short", "/headers/200"];
    let order = json!({ "steps": paths.map(step) }).to_string();
    let outcome = run(&handler, vec![work("m", &order)]).remove(0);
    assert!(!format!("{outcome:?}").contains(SECRET), "{outcome:?}");
    let bearer = format!("Bearer {SECRET}");
    assert!(gateway.seen().iter().all(|seen| seen.header("authorization") == Some(bearer.as_str())));
    let said = log.0.lock().expect("no panic").clone();
    assert!(said.contains("a handler's HTTP request has no answer"), "{said}");
    assert!(!said.contains(SECRET) && !said.contains("guess"), "{said}");
}

#[test]
fn a_trap_after_a_request_leaves_the_next_message_alone() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    let channel = Arc::new(Channel::new("orders", "queue"));
    let bad = Message::new(Parts { channel: &channel, body: b"not json", ..Parts::named("bad") });
    let order = json!({ "steps": [{ "url": gateway.url("/ok") }], "ok": true }).to_string();
    let outcomes = run(&handler, vec![Work { message: bad, ..work("bad", "") }, work("m", &order)]);
    assert!(matches!(outcomes[0], Outcome::Reject { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Ok(None));
}
