//! A trace that comes with a record of Kafka: to the handler, to what it sends, and to a letter.

use crate::source;
use opentelemetry_proto::tonic::trace::v1::Span;
use pelton_tests::collector::{Collector, Mood, hex, text};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";

fn record(body: &str) -> Record {
    let traceparent = ("traceparent".to_owned(), format!("00-{TRACE}-{PRODUCER}-01").into_bytes());
    Record { value: Some(body.as_bytes().to_vec()), headers: vec![traceparent], ..Record::default() }
}

fn parent(span: &Span) -> String {
    hex(&span.parent_span_id)
}

#[test]
fn a_producers_trace_goes_on_to_what_is_sent_and_to_letters() {
    let broker = Broker::start();
    broker.topic("traced", 1);
    broker.topic("audit", 1);
    broker.produce("traced", &[record(r#"{"send": ["audit"]}"#), record(r#"{"then": "reject"}"#)]);
    let collector = Collector::start(Mood::Well);
    let head = format!(
        "[telemetry]\notlp = {{ endpoint = {:?} }}\ntraces = {{ ratio = 0.0 }}\n",
        collector.endpoint
    );
    let target = format!(
        "audit = {{ type = \"kafka\", bootstrap_servers = \"{}\", topic = \"audit\" }}",
        broker.address
    );
    let deeds = Pipeline::new("deeds", plugin("deeds"))
        .with("", &source(&broker, "traced", "deeds", ""))
        .with("retry", "max_attempts = 1")
        .with("grants", "state = true")
        .with("grants.outbox", &target);
    let site = Site::with(&head, &[deeds]);
    let worker = site.worker().ready();

    let handled = collector.wait("process traced", 2);
    let [sent] = &*collector.wait("send audit", 1) else { panic!("one call") };
    let [letter] = &*collector.wait("send dead letters of deeds", 1) else { panic!("one letter") };
    assert!(handled.iter().chain([sent, letter]).all(|span| hex(&span.trace_id) == TRACE));
    assert!(handled.iter().all(|span| parent(span) == PRODUCER));
    let of = |offset: &str| {
        let is = |span: &&Span| text(&span.attributes, "messaging.kafka.offset").as_deref() == Some(offset);
        hex(&handled.iter().find(is).expect("both offsets are handled").span_id)
    };
    assert_eq!((parent(sent), parent(letter)), (of("0"), of("1")));
    assert_eq!((sent.kind, sent.links.len(), hex(&sent.links[0].span_id)), (4, 1, of("0")));
    for (name, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", "audit"),
        ("messaging.batch.message_count", "1"),
        ("pelton.pipeline", "deeds"),
    ] {
        assert_eq!(text(&sent.attributes, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(text(&sent.attributes, "messaging.consumer.group.name"), None);
    let [audited] = &*broker.records("audit") else { panic!("one record") };
    assert_eq!(audited.header("traceparent"), format!("00-{TRACE}-{}-01", of("0")));
    worker.stop();

    let [kept] = &*site.letters("deeds") else { panic!("one letter") };
    let headers = kept["headers"].to_string();
    assert!(headers.contains(&format!("00-{TRACE}-{}-01", hex(&letter.span_id))), "{headers}");
    assert!(headers.contains("pelton-origin-traceparent"), "{headers}");
}
