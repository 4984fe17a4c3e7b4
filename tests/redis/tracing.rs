//! A trace that comes with an entry of a stream: to the handler, and to a letter.

use crate::{STREAM, stream};
use pelton_tests::collector::{Collector, Mood, hex};
use pelton_tests::redis::Redis;
use pelton_tests::site::Site;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";

#[test]
fn a_field_of_an_entry_is_the_parent_of_what_becomes_of_it() {
    let redis = Redis::start();
    let traceparent = format!("00-{TRACE}-{PRODUCER}-01");
    redis.add(STREAM, &[vec![("traceparent", traceparent.into_bytes()), ("body", b"no order".to_vec())]]);
    let collector = Collector::start(Mood::Well);
    let head = format!("[telemetry]\notlp = {{ endpoint = {:?} }}\n", collector.endpoint);
    let site = Site::with(&head, &[stream(&redis.url(), "")]);
    site.until_empty();

    let [handled] = &*collector.wait("process orders", 1) else { panic!("one start") };
    let [letter] = &*collector.wait("send dead letters of orders", 1) else { panic!("one letter") };
    assert_eq!([hex(&handled.trace_id), hex(&letter.trace_id)], [TRACE, TRACE]);
    assert_eq!(
        [&handled.parent_span_id, &letter.parent_span_id].map(|id| hex(id)),
        [PRODUCER.to_owned(), hex(&handled.span_id)]
    );
    let [kept] = &*site.letters("orders") else { panic!("one letter") };
    let headers = kept["headers"].to_string();
    assert!(headers.contains(&format!("00-{TRACE}-{}-01", hex(&letter.span_id))), "{headers}");
    assert!(headers.contains("pelton-origin-traceparent"), "{headers}");
}
