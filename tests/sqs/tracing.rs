//! A trace that comes with a message of SQS, in an attribute or in the service's own: to the handler, and to
//! a letter.

use crate::{Shop, pipeline};
use pelton_tests::collector::{Collector, Mood, hex};
use pelton_tests::site::Site;
use pelton_tests::sqs::{Sent, Sqs, typed};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";

#[test]
fn an_attribute_of_a_message_is_the_parent_of_what_becomes_of_it() {
    let traceparent = format!("00-{TRACE}-{PRODUCER}-01");
    is_parent("pelton-origin-traceparent", |sqs, url| {
        sqs.send_typed(url, "no order", &[typed("traceparent", "String", &traceparent)])
    });
}

#[test]
fn so_is_the_services_own_attribute() {
    let (epoch, rest) = TRACE.split_at(8);
    let trace = format!("Root=1-{epoch}-{rest};Parent={PRODUCER};Sampled=1");
    let message = Sent { body: "no order".to_owned(), ..Sent::default() };
    is_parent("sqs.aws-trace-header", |sqs, url| sqs.send_traced(url, &message, &trace));
}

/// What is sent is of the producer's trace, and a header of the letter says so.
fn is_parent(origin: &str, send: impl Fn(&Sqs, &str)) {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    send(&sqs, &url);
    let collector = Collector::start(Mood::Well);
    let head = format!("[telemetry]\notlp = {{ endpoint = {:?} }}\n", collector.endpoint);
    let shop = Shop(Site::with(&head, &[pipeline(&url, "")]));
    shop.until_empty();

    let [handled] = &*collector.wait("process orders", 1) else { panic!("one start") };
    let [letter] = &*collector.wait("send dead letters of orders", 1) else { panic!("one letter") };
    assert_eq!([hex(&handled.trace_id), hex(&letter.trace_id)], [TRACE, TRACE]);
    assert_eq!(
        [&handled.parent_span_id, &letter.parent_span_id].map(|id| hex(id)),
        [PRODUCER.to_owned(), hex(&handled.span_id)]
    );
    let [kept] = &*shop.letters() else { panic!("one letter") };
    let headers = kept["headers"].as_array().expect("headers");
    let said = |name: &str| headers.iter().find(|header| header["name"] == name)?["value"].as_str();
    assert_eq!(said("traceparent"), Some(&*format!("00-{TRACE}-{}-01", hex(&letter.span_id))));
    assert!(said(origin).is_some_and(|value| value.contains(PRODUCER)), "{headers:?}");
}
