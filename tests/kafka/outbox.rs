//! What handlers send to topics: letters of what a topic refuses, repetitions, replays.

use crate::source;
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;
use std::collections::BTreeSet;

/// A body that counts a total and sends itself to the topic `audit`.
const SENDS: &str = r#"{"add": "total", "send": ["audit"], "key": "c"}"#;

fn deeds(broker: &Broker, name: &str) -> Pipeline {
    let target = format!(
        "audit = {{ type = \"kafka\", bootstrap_servers = \"{}\", topic = \"audit\" }}",
        broker.address
    );
    Pipeline::new(name, plugin("deeds")).with("grants", "state = true").with("grants.outbox", &target)
}

fn ids(broker: &Broker) -> Vec<String> {
    broker.records("audit").iter().map(|record| record.header("pelton-id").to_owned()).collect()
}

#[test]
fn what_a_topic_refuses_is_a_letter_that_goes_to_its_target_again() {
    let broker = Broker::start();
    // Less than any record takes.
    broker.topic_with("audit", 1, &[("max.message.bytes", "60")]);
    let site = Site::new(&[deeds(&broker, "deeds")]);
    site.send_lines("deeds", &[], &vec![SENDS.to_owned(); 2]);
    site.send_lines("deeds", &[], &[r#"{"then": "reject"}"#.to_owned()]);
    site.until_empty();
    let of_outbox = |all: Vec<Value>| -> Vec<Value> {
        all.into_iter().filter(|letter| letter["cause"] == "outbox").collect()
    };
    let all = site.letters("deeds");
    let letters = of_outbox(all.clone());
    assert_eq!((all.len(), letters.len()), (3, 2), "{all:?}");
    let one = &letters[0];
    assert_eq!(
        (&one["target"], &one["failure"], &one["body"]),
        (&"audit".into(), &"refused".into(), &SENDS.into())
    );
    assert!(one["reason"].as_str().is_some_and(|why| why.contains("max.message.bytes")), "{one}");
    let id = one["id"].as_str().expect("it is text");
    let shown = site.done(&["dlq", "show", "deeds", "--id", id]);
    assert!(shown.contains("target      audit"), "{shown}");
    let would = site.done(&["dlq", "replay", "deeds", "--cause", "outbox", "--all", "--dry-run"]);
    assert!(would.contains("the target audit (kafka audit)"), "{would}");
    let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    assert_eq!(status["pipelines"]["deeds"]["outbox"]["audit"]["letters"], 2, "{status}");

    let left = site.done(&["dlq", "replay", "deeds", "--all"]);
    assert!(left.contains("replayed 1 letter") && left.contains("2 of cause outbox were left"), "{left}");
    broker.delete("audit");
    broker.topic("audit", 1);
    site.done(&["dlq", "replay", "deeds", "--cause", "outbox", "--all"]);
    assert_eq!(of_outbox(site.letters("deeds")).len(), 0, "it is in one place at a time");
    site.until_empty();
    let wanted: BTreeSet<String> =
        letters.iter().map(|letter| letter["message_id"].as_str().expect("text").to_owned()).collect();
    assert_eq!(ids(&broker).into_iter().collect::<BTreeSet<_>>(), wanted, "they keep their ids");
    site.done(&["dlq", "purge", "deeds", "--all"]);
    assert_eq!(site.letters("deeds").len(), 0);
}

#[test]
fn a_pipeline_knows_a_repetition_by_its_id() {
    let broker = Broker::start();
    broker.topic("audit", 1);
    let reads = Pipeline::new("reads", plugin("deeds"))
        .with("", &source(&broker, "audit", "reads", ""))
        .with("dedup", "key = \"header:pelton-id\"")
        .with("grants", "state = true")
        .with("grants.outbox", "audit = { type = \"embedded\", queue = \"next\" }");
    let sends = deeds(&broker, "sends");
    let site = Site::new(&[sends, reads]);
    let body = r#"{"send": ["audit"], "key": "c"}"#;
    site.send_lines("sends", &[], &[body.to_owned()]);
    let worker = site.worker().ready();
    let sent =
        until("it is there", || Some(broker.records("audit")).filter(|all| all.len() == 1)).remove(0);
    // As a relay sends it that has died before it could note the answer.
    broker.produce("audit", &[Record { partition: None, timestamp: None, ..sent }]);
    until("the repetition is known", || {
        let status = site.status("reads");
        (status.duplicates == 1).then_some(status)
    });
    worker.stop();
    let status = site.status("reads");
    assert_eq!((status.duplicates, status.left()), (1, 0), "{status:?}");
}

#[test]
fn a_replay_that_does_it_again_asks_and_sends_under_other_ids() {
    let broker = Broker::start();
    broker.topic("audit", 1);
    broker.topic("orders", 1);
    let record = Record { value: Some(SENDS.into()), ..Record::default() };
    broker.produce("orders", &[record]);
    let site = Site::new(&[deeds(&broker, "orders").with("", &source(&broker, "orders", "orders", ""))]);
    site.until_empty();
    assert_eq!(ids(&broker).len(), 1);
    let unsure = site.run(&["replay", "orders", "--from-beginning", "--redo"]);
    let said = String::from_utf8_lossy(&unsure.stderr).into_owned();
    assert!(unsure.status.code() == Some(64) && said.contains("say --yes"), "{said}");
    for times in 2..=3 {
        site.done(&["replay", "orders", "--from-beginning", "--redo", "--yes"]);
        assert_eq!(site.done(&["state", "get", "orders", "total"]), format!("{times}\n"));
    }
    site.until_empty();
    let all = ids(&broker);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3, "{all:?}");
}

/// What a handler sends leaves as an event, and is read as one by whoever reads the topic.
#[test]
fn a_topic_has_events_and_a_pipeline_that_reads_them_knows_a_repetition() {
    let broker = Broker::start();
    broker.topic("audit", 1);
    let target = format!(
        "audit = {{ type = \"kafka\", bootstrap_servers = \"{}\", topic = \"audit\", envelope = \
         \"cloudevents\" }}",
        broker.address
    );
    let sends = Pipeline::new("sends", plugin("deeds")).with("grants", "state = true");
    let reads = Pipeline::new("reads", plugin("deeds"))
        .with("", &source(&broker, "audit", "reads", ""))
        .with("decode", "envelope = \"cloudevents\"")
        .with("dedup", "key = \"cloudevent\"")
        .with("grants", "state = true")
        .with("grants.outbox", "audit = { type = \"embedded\", queue = \"next\" }");
    let site = Site::new(&[sends.with("grants.outbox", &target), reads]);
    site.send_lines("sends", &[], &[SENDS.to_owned()]);
    let worker = site.worker().ready();
    let sent =
        until("it is there", || Some(broker.records("audit")).filter(|all| all.len() == 1)).remove(0);
    let attributes = ["ce_specversion", "ce_source", "ce_type"].map(|name| sent.header(name).to_owned());
    assert_eq!(attributes, ["1.0", "/pelton/sends", "pelton.message"]);
    assert_eq!((sent.header("ce_id"), sent.text().as_str()), (sent.header("pelton-id"), SENDS));
    assert_eq!(sent.key, Some(b"c".to_vec()));
    // As a relay sends it that has died before it could note the answer.
    broker.produce("audit", &[Record { partition: None, timestamp: None, ..sent }]);
    until("the repetition is known", || (site.status("reads").duplicates == 1).then_some(()));
    worker.stop();
    assert_eq!(site.status("reads").handled, 1);
}
