//! Schemas before the handler: producers with confluent-kafka's own serializers, and a registry that goes
//! away.

use crate::{source, taken};
use pelton_tests::binary::root;
use pelton_tests::components::plugin;
use pelton_tests::http_stub::Reply;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::registry::Registry;
use pelton_tests::schema_registry::SchemaRegistry;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::{Value, json};
use std::process::Command;

const LINE: &str = r#"{"type": "record", "name": "Line", "namespace": "shop", "fields": [
    {"name": "sku", "type": "string"}, {"name": "count", "type": "int"}]}"#;
const JSON: &str = r#"{"type": "object", "required": ["id", "customer", "amount_cents"],
    "properties": {"amount_cents": {"type": "integer", "minimum": 0}}}"#;
const PROTO: &str = r#"syntax = "proto3"; package shop; message Ping {}
    message Order { uint32 id = 1; string customer = 2;
        int32 amount_cents = 3 [json_name = "amount_cents"]; }"#;

/// What is to be said of an answer that is none, and the answer.
type Way = (&'static str, fn() -> Reply);

/// The Python that has confluent-kafka.
fn python() -> String {
    let made = Command::new(root().join("script/python")).output().expect("it can be started");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("a path").trim().to_owned()
}

/// Produces `count` orders from the number `first` on.
fn produce(python: &str, broker: &Broker, registry: &SchemaRegistry, format: &str, form: &str, first: u64) {
    let mut command = Command::new(python);
    command.arg(root().join("tests/kafka/schemas.py")).args([
        &broker.address,
        &registry.url(),
        format,
        form,
    ]);
    let done = command.args([&first.to_string(), "3"]).output().expect("Python can be started");
    assert!(done.status.success(), "{format} {form}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A pipeline of orders whose bodies are looked at first.
fn pipeline(broker: &Broker, topic: &str, schema: &str) -> Pipeline {
    Pipeline::new("orders", plugin("orders"))
        .with("", &source(broker, topic, topic, ""))
        .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")
        .with("decode", &format!("schema = {{ {schema} }}"))
}

/// A record with a body behind an id.
fn framed(id: u32, body: &[u8]) -> Record {
    let value = [&[0][..], &id.to_be_bytes(), body].concat();
    Record { value: Some(value), ..Record::default() }
}

fn order(number: u64, amount: i64) -> String {
    format!("{{\"id\": {number}, \"customer\": \"ann\", \"amount_cents\": {amount}}}")
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

fn reasons(letters: &[Value]) -> Vec<String> {
    let mut all: Vec<String> =
        letters.iter().map(|letter| letter["reason"].as_str().expect("a text").to_owned()).collect();
    all.sort();
    all
}

#[test]
fn what_confluents_serializers_write_is_read_in_each_format_and_form() {
    let (broker, registry, python) = (Broker::start(), SchemaRegistry::start(), python());
    assert_eq!(registry.register("shop.Line-value", "AVRO", LINE, &json!([])), 1);
    // What the real registry has: the text of the file, whoever registered it.
    let text = registry.register("protobuf-text-value", "PROTOBUF", PROTO, &json!([]));
    for format in ["avro", "json", "protobuf", "protobuf-text"] {
        broker.topic(format, 1);
        produce(&python, &broker, &registry, format, "prefix", 1);
        produce(&python, &broker, &registry, format, "header", 11);
    }
    assert!(text > 1);
    for format in ["avro", "json", "protobuf", "protobuf-text"] {
        drop(registry.seen());
        let kind = format.trim_end_matches("-text");
        let schema = format!(
            "type = \"{kind}\", registry = \"{}\", subject = \"{format}-value\", pass = \"json\"",
            registry.url()
        );
        let site = Site::new(&[pipeline(&broker, format, &schema)]);
        let (worker, _) = site.until_empty();
        assert_eq!(sorted(taken(&worker.log)), [1, 2, 3, 11, 12, 13], "{format}{}", worker.log.tail());
        assert_eq!(site.letters("orders").len(), 0);
        let asked: Vec<String> = registry.seen().into_iter().map(|request| request.path).collect();
        let schemas = asked.iter().filter(|path| path.contains("/ids/") && !path.contains("/versions"));
        assert!(schemas.count() <= 2, "each schema is asked for once: {asked:?}");
    }
}

/// One broker for all of these: its start takes longer than they do.
#[test]
fn schemas_are_read_refused_and_asked_for_safely() {
    let broker = Broker::start();
    a_reader_of_avro_sees_its_own_fields(&broker);
    what_is_not_as_its_schema_says_is_a_letter_without_an_attempt(&broker);
    a_registry_whose_certificate_nobody_knows_is_told_nothing(&broker);
}

fn a_reader_of_avro_sees_its_own_fields(broker: &Broker) {
    let registry = SchemaRegistry::start();
    broker.topic("evolved", 1);
    let writer = r#"{"type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "int"}, {"name": "buyer", "type": "string"},
        {"name": "gone", "type": "bytes"}]}"#;
    let reader = r#"{"type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "long"},
        {"name": "customer", "aliases": ["buyer"], "type": ["null", "string"]},
        {"name": "amount_cents", "type": "long", "default": 7}]}"#;
    let id = registry.register("orders-value", "AVRO", writer, &json!([]));
    broker.produce("evolved", &[framed(id, &[10, 6, b'a', b'n', b'n', 2, 0])]);
    let schema = format!(
        "type = \"avro\", registry = \"{}\", file = \"reader.avsc\", pass = \"json\"",
        registry.url()
    );
    let site = Site::new(&[pipeline(broker, "evolved", &schema)]);
    let missing = site.run(&["check"]);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && said.contains("decode.schema.file"), "{said}");
    std::fs::write(site.path().join("reader.avsc"), "{\"type\": \"strange\"}").expect("it is written");
    let bad = String::from_utf8_lossy(&site.run(&["check"]).stderr).into_owned();
    assert!(bad.contains("is no schema that can be used"), "{bad}");
    std::fs::write(site.path().join("reader.avsc"), reader).expect("it is written");
    site.done(&["check"]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [5]);
    assert_eq!(site.letters("orders").len(), 0);
}

fn what_is_not_as_its_schema_says_is_a_letter_without_an_attempt(broker: &Broker) {
    let registry = SchemaRegistry::start();
    broker.topic("wrong", 1);
    let id = registry.register("orders-value", "JSON", JSON, &json!([]));
    let other = registry.register("customers-value", "JSON", "true", &json!([]));
    let avro = registry.register("orders-value", "AVRO", "\"string\"", &json!([]));
    let bodies = [
        framed(id, order(1, 5).as_bytes()),
        framed(id, order(2, -1).as_bytes()),
        framed(id, b"{"),
        framed(other, b"{}"),
        framed(avro, b"{}"),
        framed(99, b"{}"),
        Record { value: Some(b"{}".to_vec()), ..Record::default() },
    ];
    broker.produce("wrong", &bodies);
    let schema = |more: &str| {
        format!(
            "type = \"json\", registry = \"{}\", subject = \"orders-value\", pass = \"json\"{more}",
            registry.url()
        )
    };
    let site = Site::new(&[pipeline(broker, "wrong", &schema(""))]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [1], "{}", worker.log.tail());
    let letters = site.letters("orders");
    assert_eq!(
        reasons(&letters),
        [
            format!("by the schema {id}, at /amount_cents: -1 is less than the minimum of 0"),
            format!("by the schema {id}, it is no JSON: EOF while parsing an object at line 1 column 1"),
            format!("its schema {other} is not one of the subject orders-value"),
            format!("its schema {avro} is of the type AVRO, and the pipeline reads JSON"),
            "its schema 99 is not in the registry: Schema not found".to_owned(),
            "its schema cannot be told: it has no schema id: it begins with the byte 0x7b, not with 0x00 or \
             0x01"
                .to_owned(),
        ]
    );
    for letter in &letters {
        assert_eq!((&letter["cause"], &letter["attempts"]), (&"invalid".into(), &0.into()), "{letter}");
    }
    // What was sent is kept: a replay is looked at again.
    let said = site.done(&["dlq", "replay", "orders", "--all"]);
    assert!(said.contains('6'), "{said}");
    site.until_empty();
    assert_eq!(site.letters("orders").len(), 6);
}

#[test]
fn a_registry_that_is_away_makes_messages_wait_and_no_letters() {
    let (broker, registry) = (Broker::start(), SchemaRegistry::start());
    broker.topic("orders", 1);
    let id = registry.register("orders-value", "JSON", JSON, &json!([]));
    registry.wants("Basic dXM6c2VjcmV0LXdvcmQ=");
    let schema = format!(
        "type = \"json\", registry = \"{}\", pass = \"json\", auth = {{ user = \"us\", password = {{ file = \
         \"password\" }} }}",
        registry.url()
    );
    let site = Site::new(&[pipeline(&broker, "orders", &schema)]);
    std::fs::write(site.path().join("password"), "wrong-word\n").expect("it is written");
    broker.produce("orders", &[framed(id, order(1, 5).as_bytes())]);
    let worker = site.worker();
    let trouble = |words: &str| {
        until(words, || site.done(&["status", "--json"]).contains(words).then_some(()));
    };
    trouble("answers 401 (Unauthorized); look at `auth`");
    std::fs::write(site.path().join("password"), "secret-word\n").expect("it is written");
    worker.log.wait("it is taken", |line| line.says("order 1 of ann taken"));
    // A schema that is known is enough; another has to be asked for.
    let ways: [Way; 4] = [
        ("answers 503", || Reply::status(503)),
        ("answers 404", || Reply::status(404)),
        ("is none of a schema registry", || Reply {
            status: 200,
            body: b"<html>".to_vec(),
            ..Reply::default()
        }),
        ("answers 302", || Reply {
            status: 302,
            headers: vec![("location", "/x".to_owned())],
            ..Reply::default()
        }),
    ];
    for (number, (words, reply)) in ways.into_iter().enumerate() {
        let number = number as u64 + 2;
        registry.fault(move |_| Some(reply()));
        let next =
            registry.register("orders-value", "JSON", &format!("{{\"title\": \"{number}\"}}"), &json!([]));
        broker.produce("orders", &[framed(id, order(number * 10, 5).as_bytes())]);
        broker.produce("orders", &[framed(next, order(number, 5).as_bytes())]);
        trouble(words);
        assert_eq!(site.letters("orders").len(), 0);
        registry.mend();
        let wanted = format!("order {number} of ann taken");
        worker.log.wait("it comes back", |line| line.says(&wanted));
    }
    until("all is well", || (!site.done(&["status", "--json"]).contains("schema registry")).then_some(()));
    worker.stop();
    assert_eq!(site.letters("orders").len(), 0);
    assert!(!worker.log.lines().iter().any(|line| line.says("secret-word") || line.says("c2VjcmV0")));
}

fn a_registry_whose_certificate_nobody_knows_is_told_nothing(broker: &Broker) {
    let secure = Registry::start_secure();
    broker.topic("secure", 1);
    broker.produce("secure", &[framed(1, b"{}")]);
    let schema = |more: &str| {
        format!(
            "type = \"json\", registry = \"https://{}\", auth = {{ token = {{ env = \"TOKEN\" }} }}{more}",
            secure.address
        )
    };
    let known = format!(", ca_file = {:?}", secure.certificate());
    // It is no schema registry: who trusts it finds that out.
    for (more, words) in [("", "certificate"), (known.as_str(), "answers 404; is `registry` its address?")]
    {
        let site = Site::new(&[pipeline(broker, "secure", &schema(more))]);
        let worker = site.worker_with(&[], &[("TOKEN", "secret-word")]);
        until(words, || site.done(&["status", "--json"]).contains(words).then_some(()));
        worker.stop();
        assert_eq!(site.letters("orders").len(), 0);
    }
}
