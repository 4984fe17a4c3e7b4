//! Registries of schemas that hang, drip, or are asked by `pelton check --connect` what they have.

use pelton_tests::components::plugin;
use pelton_tests::http_stub::Reply;
use pelton_tests::schema_registry::SchemaRegistry;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const JSON: &str = r#"{"type": "object", "required": ["id", "customer", "amount_cents"]}"#;
/// A worker that is told to stop does not wait for an answer. A busy machine may take its time.
const SOON: Duration = Duration::from_secs(5);

fn site(registry: &SchemaRegistry, more: &str) -> Site {
    let schema =
        format!("schema = {{ type = \"json\", registry = \"{}\", pass = \"json\"{more} }}", registry.url());
    Site::new(&[Pipeline::new("orders", plugin("orders")).with("decode", &schema)])
}

/// An order behind the id of its schema.
fn send(site: &Site, id: u32, number: u64) {
    let body = format!("{{\"id\":{number},\"customer\":\"c\",\"amount_cents\":5}}");
    std::fs::write(site.path().join("body"), [&[0][..], &id.to_be_bytes(), body.as_bytes()].concat())
        .expect("it is written");
    site.done(&["send", "orders", "--file", "body"]);
}

/// Waits until somebody has asked.
fn asked(registry: &SchemaRegistry) {
    until("the registry is asked", || (!registry.seen().is_empty()).then_some(()));
}

#[test]
fn a_registry_that_hangs_or_drips_holds_up_no_stop_and_makes_no_letter() {
    let registry = SchemaRegistry::start();
    let id = registry.register("orders-value", "JSON", JSON, &json!([]));
    let site = site(&registry, "");
    send(&site, id, 1);
    let hangs = || Reply { silent: true, ..Reply::default() };
    // The whole answer would take minutes; each byte comes soon.
    let drips = || Reply {
        body: vec![b' '; 1_000],
        between_bytes: Some(Duration::from_millis(500)),
        ..Reply::status(200)
    };
    for (name, reply) in [("hangs", &hangs as &dyn Fn() -> Reply), ("drips", &drips)] {
        let reply = reply();
        registry.fault(move |_| Some(reply.clone()));
        let worker = site.worker();
        asked(&registry);
        let told = Instant::now();
        worker.signal(Signal::TERM);
        let ended = worker.ends_within(SOON);
        assert!(
            ended.is_some_and(|ended| ended.code == Some(0)),
            "{name}: {:?}{}",
            told.elapsed(),
            worker.log.tail()
        );
    }
    // It drips still. One attempt has its end, however much there is to come.
    let worker = site.worker();
    let begun = Instant::now();
    until("it is said", || {
        let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
        let trouble = status["pipelines"]["orders"]["trouble"].as_str().unwrap_or_default().to_owned();
        trouble.contains("does not answer within 10 s").then_some(())
    });
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!((site.letters("orders").len(), site.status("orders").left()), (0, 1));
    // Half a minute later it is not ready any more, and says why.
    until("it is not ready", || {
        let ready = site.run(&["health", "--ready"]);
        let said = String::from_utf8_lossy(&[ready.stdout, ready.stderr].concat()).into_owned();
        (!ready.status.success() && said.contains("does not answer within 10 s")).then_some(())
    });
    registry.mend();
    worker.log.wait("it comes back", |line| line.says("order 1 of c taken"));
    worker.stop();
}

/// Each refers to the next, and the last to the first.
#[test]
fn schemas_that_refer_to_each_other_without_an_end_are_letters() {
    let registry = SchemaRegistry::start();
    let to = |name: &str| json!([{ "name": format!("{name}.json"), "subject": name, "version": 1 }]);
    let schema = |name: &str| json!({ "$ref": format!("{name}.json"), "title": name }).to_string();
    let id = registry.register("a", "JSON", &schema("b"), &to("b"));
    registry.register("b", "JSON", &schema("c"), &to("c"));
    registry.register("c", "JSON", &schema("a"), &to("a"));
    let deep = registry.register("d0", "JSON", &schema("d1"), &to("d1"));
    for number in 1..150 {
        let next = format!("d{}", number + 1);
        registry.register(&format!("d{number}"), "JSON", &schema(&next), &to(&next));
    }
    let site = site(&registry, "");
    send(&site, id, 1);
    send(&site, deep, 2);
    site.until_empty();
    let mut reasons: Vec<String> =
        site.letters("orders").iter().map(|letter| letter["reason"].to_string()).collect();
    reasons.sort();
    assert!(reasons.len() == 2 && reasons[0].contains("refers to itself without an end"), "{reasons:?}");
    assert!(reasons[1].contains("refers to more than 100 others"), "{reasons:?}");
    let asked = registry.seen().len();
    assert!(asked < 110, "{asked} questions");
}

#[test]
fn a_check_asks_the_registry() {
    let registry = SchemaRegistry::start();
    let check = |more: &str| {
        let done = site(&registry, more).run(&["check", "--connect"]);
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, said) = check("");
    assert_eq!(code, Some(0), "{said}");
    let subject = ", subject = \"orders-value\"";
    let (code, said) = check(subject);
    let words = "decode.schema.subject: is `orders-value`, whose newest schema is not in the registry";
    assert!(code == Some(78) && said.contains(words) && said.contains("register one there"), "{said}");
    registry.register("orders-value", "AVRO", "\"string\"", &json!([]));
    assert!(check(subject).1.contains("is of the type AVRO, and the pipeline reads JSON"));
    registry.register("orders-value", "JSON", "{\"type\": \"strange\"}", &json!([]));
    assert!(check(subject).1.contains("whose newest schema cannot be used"));
    registry.register("orders-value", "JSON", JSON, &json!([]));
    let (code, said) = check(subject);
    assert_eq!(code, Some(0), "{said}");
    registry.wants("Basic x");
    let (code, said) = check(subject);
    assert!(code == Some(78) && said.contains("decode.schema.registry: is http://"), "{said}");
    assert!(said.contains("answers 401 (Unauthorized); see `auth`; messages would wait"), "{said}");
    // Without --connect nobody is asked.
    drop(registry.seen());
    site(&registry, subject).done(&["check"]);
    assert!(registry.seen().is_empty());
}
