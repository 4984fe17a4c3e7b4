//! What is decoded before the handler, everywhere else than in a worker: in cases, by hand, while a handler
//! is written, and for the key of a letter.

use crate::order;
use pelton_tests::components::plugin;
use pelton_tests::http_stub::Reply;
use pelton_tests::log::Log;
use pelton_tests::schema_registry::SchemaRegistry;
use pelton_tests::site::{Pipeline, Site, Status};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "long"}, {"name": "customer", "type": "string"},
    {"name": "amount_cents", "type": "long"}, {"name": "gateway_down_for", "type": "int"}]}"#;
/// The number 7, of the customer c, for 5 cents; the gateway is down once.
const AVRO_ORDER: &[u8] = &[14, 2, b'c', 10, 2];

const CASES: &str = r#"
[[case]]
name = "an event is opened"
body = '{"id":"e-1","detail-type":"Order","source":"shop","detail":{"id":1,"customer":"c","amount_cents":5}}'
logs = ["order 1 of c taken"]

[[case]]
name = "what is none is invalid"
body = '{"id":1,"customer":"c","amount_cents":5}'
outcome = "invalid"
reason = "no event of EventBridge"
no_logs = ["taken"]

[[case]]
name = "so is what is not as the schema says"
body = '{"id":"e-2","detail-type":"Order","source":"shop","detail":{"id":1,"customer":"c","amount_cents":-5}}'
outcome = "invalid"
reason = "/amount_cents"

[[case]]
name = "what is inside is given as it is"
json = { id = 2, customer = "d", amount_cents = -5 }
decoded = true
outcome = "reject"

[[case]]
name = "each of several has its own outcome"
[[case.message]]
body = "no event"
outcome = "invalid"
[[case.message]]
json.id = "e-3"
json.detail-type = "Order"
json.source = "shop"
json.detail = { id = 3, customer = "e", amount_cents = 1 }
logs = ["order 3 of e taken"]
"#;

const SCHEMA: &str = r#"{"type": "object", "properties": {"amount_cents": {"minimum": 0}}}"#;

/// An order as EventBridge sends it.
fn event(number: u64) -> String {
    format!(r#"{{"id":"e","detail-type":"O","source":"s","detail":{}}}"#, order(number, 0))
}

/// The folder of a project whose component is there, with two pipelines that run it: the second decodes.
fn project() -> Site {
    let decodes = Pipeline::new("orders", plugin("orders")).with(
        "decode",
        "envelope = \"eventbridge\"\nschema = { type = \"json\", file = \"order.schema.json\" }",
    );
    let site = Site::new(&[Pipeline::new("a-plain-one", plugin("orders")), decodes]);
    let manifest = format!(
        "name = \"shop\"\nlanguage = \"rust\"\ncomponent = \"{}\"\nbuild = \"true\"\n",
        plugin("orders").display()
    );
    let write =
        |name: &str, text: &str| std::fs::write(site.path().join(name), text).expect("it is written");
    std::fs::create_dir(site.path().join("tests")).expect("a folder can be made");
    write("handler.toml", &manifest);
    write("tests/cases.toml", CASES);
    write("order.schema.json", SCHEMA);
    site
}

#[test]
fn cases_give_what_the_broker_has_and_say_what_is_invalid() {
    let site = project();
    let said = site.done(&["test", "--no-build", "--pipeline", "orders"]);
    assert!(said.contains("5 cases passed"), "{said}");
    // Without the name it is the first, which decodes nothing.
    let plain = site.run(&["test", "--no-build", "--json"]);
    assert_eq!(plain.status.code(), Some(1), "{plain:?}");
    let results: Value = serde_json::from_slice(&plain.stdout).expect("JSON");
    let first = &results["cases"][0]["problems"][0];
    assert!(first.as_str().is_some_and(|text| text.contains("got     reject")), "{results}");
    let unknown = site.run(&["test", "--no-build", "--pipeline", "nobody"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(64) && said.contains("has no pipeline `nobody`"), "{said}");
}

#[test]
fn one_message_by_hand_is_decoded_as_its_pipeline_says() {
    let site = project();
    let component = plugin("orders").display().to_string();
    let invoke = |body: &str, more: &[&str]| {
        let words = [&["invoke", &component, "--pipeline", "orders", "--body", body], more].concat();
        let done = site.run(&words);
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let (code, said) = invoke(&event(4), &[]);
    assert!(code == Some(0) && said.contains("order 4 of c taken"), "{said}");
    let (code, said) = invoke("no event", &[]);
    assert!(
        code == Some(65) && said.starts_with("outcome  invalid: it is no event of EventBridge"),
        "{said}"
    );
    let (code, said) = invoke("no event", &["--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == Some(65) && said["calls"][0]["outcome"] == "invalid", "{said}");
}

#[test]
fn a_line_that_is_typed_is_decoded_too() {
    let site = project();
    let mut dev = site.command(&["dev", "--pipeline", "orders"]);
    let mut dev =
        dev.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("dev");
    let mut typed = dev.stdin.take().expect("piped");
    let said = Log::read(dev.stdout.take().expect("piped"));
    let wait = |text: &str| drop(said.wait(text, |line| line.text.contains(text)));
    wait("running.");
    writeln!(typed, "{}", event(9)).expect("it reads");
    wait("order 9 of c taken");
    for _ in 0..2 {
        writeln!(typed, "no event").expect("it reads");
    }
    wait("invalid     orders/2: it is no event of EventBridge");
    // The log of a worker would say the second one later.
    wait("invalid     orders/3: it is no event of EventBridge");
    let pid = rustix::process::Pid::from_child(&dev);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    assert!(dev.wait().expect("it is our child").success());
}

/// A letter has what the broker had. What its message is known by is in what the handler saw.
#[test]
fn a_letter_is_known_by_what_its_handler_saw() {
    let registry = SchemaRegistry::start();
    let id = registry.register("orders-value", "AVRO", AVRO, &json!([]));
    let schema =
        format!("schema = {{ type = \"avro\", registry = \"{}\", pass = \"json\" }}", registry.url());
    let pipeline = Pipeline::new("orders", plugin("orders"))
        .with("decode", &schema)
        .with("dedup", "key = \"json:/id\"")
        .with("retry", "max_attempts = 1\ninitial_interval = \"20ms\"");
    let site = Site::new(&[pipeline]);
    let body = [&[0][..], &id.to_be_bytes(), AVRO_ORDER].concat();
    std::fs::write(site.path().join("body"), body).expect("it is written");
    site.done(&["send", "orders", "--file", "body"]);
    site.until_empty();

    // Nobody says the key: the letter is shown without it, and stays where it is.
    registry.fault(|_| Some(Reply::status(503)));
    let listed = site.run(&["dlq", "list", "orders", "--json"]);
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.success() && said.contains("answers 503"), "{said}");
    let letter: Value = serde_json::from_slice(&listed.stdout).expect("one letter");
    assert_eq!(
        (&letter["dedup_key"], &letter["cause"]),
        (&Value::Null, &"retries-exhausted".into()),
        "{letter}"
    );
    let refused = site.run(&["dlq", "replay", "orders", "--all"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("cannot be decoded"), "{said}");
    registry.mend();

    assert_eq!(site.letters("orders")[0]["dedup_key"], "7");
    assert!(site.done(&["dlq", "show", "orders", "--id", "1"]).contains("dedup key   7"));
    let config = site.path().join("pelton.toml");
    let text =
        std::fs::read_to_string(&config).expect("it is there").replace("attempts = 1", "attempts = 3");
    std::fs::write(&config, text).expect("it is written");
    assert!(site.done(&["dlq", "replay", "orders", "--all"]).contains("replayed 1 letter"));
    // The same once more, by another id: a duplicate.
    site.done(&["send", "orders", "--file", "body"]);
    let (worker, ended) = site.until_empty();
    let status = Status::of(&ended.out, "orders");
    // Its attempts begin anew: the gateway is down once more.
    let counts = (status.handled, status.duplicates, status.retries);
    assert_eq!(counts, (1, 1, 1), "{}", worker.log.tail());
    assert_eq!(site.letters("orders").len(), 0);
    assert!(site.done(&["ledger", "show", "orders", "7"]).contains("completed"));
}
