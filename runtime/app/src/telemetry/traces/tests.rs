//! Spans of made-up ports.

#![allow(clippy::unwrap_used)]

use super::*;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use pelton_core::broker::{
    BooksError, Diagnosis, Messaging, OpenError, OutboxTarget, Outgoing, Published, Publisher, Sent, Unsent,
};
use pelton_core::effects::StagedMessage;
use pelton_core::ports::{
    BoxFuture, Capabilities, ErrorClass, Handler, Lag, Report, Scope, Settle, Source, Work,
};
use pelton_core::{Channel, Delivery, Header, HeaderList, Name, Outcome, Parts, Receipt};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A record of a topic, perhaps in a trace.
fn record(offset: u64, parent: Option<&str>) -> Message {
    let channel = Arc::new(Channel::of_partition("p", "orders", 3));
    let headers: Vec<Header> =
        parent.map(|parent| Header::new("Traceparent", parent)).into_iter().collect();
    let list: HeaderList = headers.iter().collect();
    let name = Name::Number(offset);
    Message::new(Parts { channel: &channel, name, headers: list.view(), body: b"body", ..Parts::default() })
}

fn traced(config: TracesConfig) -> (Traced, Otlp) {
    let otlp = Otlp::keeping();
    let messaging = Messaging {
        system: "kafka",
        destination: "orders".to_owned(),
        group: Some("shop".to_owned()),
        settles: "commit",
    };
    let tracer = Arc::new(Tracer::new(&otlp, &config).unwrap());
    (Traced::new(tracer, "p", messaging), otlp)
}

fn quiet() -> TracesConfig {
    TracesConfig { sampling: trace::Sampling::new(true, 0.0), ..TracesConfig::default() }
}

/// What is ready at once.
fn now<T>(mut future: BoxFuture<'_, T>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn text(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|one| one.key == name).and_then(|one| one.value.clone()?.value);
    match found {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

struct Topic;

impl Source for Topic {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease_ms: None,
            native_delay: false,
            lane_order: false,
            cumulative: true,
            shares_ledger: false,
        }
    }

    fn receive(&self, _: usize, _: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        let parents = [None, Some(PARENT), Some("nonsense")].into_iter().enumerate();
        let delivery = |(n, parent)| {
            let receipt = Receipt(u64::try_from(n).unwrap());
            Delivery { receipt, ..Delivery::of(record(receipt.0, parent)) }
        };
        Box::pin(std::future::ready(Ok(parents.map(delivery).collect())))
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let settled =
            |(receipt, _)| if receipt == Receipt(1) { Err(ErrorClass::LeaseLost) } else { Ok(()) };
        Box::pin(std::future::ready(batch.into_iter().map(settled).collect()))
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(batch.into_iter().map(|_| Ok(())).collect()))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        Box::pin(std::future::ready(Ok(Lag::default())))
    }

    fn scope(&self, _: &Message) -> Scope {
        "topic".into()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn what_is_received_and_settled_is_linked_to_the_traces_that_are_recorded() {
    let (traced, otlp) = traced(quiet());
    let source = traced.source(Arc::new(Topic));
    assert_eq!(now(source.receive(9, 9)).unwrap().len(), 3);
    now(source.settle(vec![(Receipt(0), Settle::Ack)]));
    now(source.settle(vec![(Receipt(1), Settle::Ack)]));
    now(source.settle(vec![(Receipt(1), Settle::Ack)]));
    let kept = otlp.kept();
    let [received, settled] = &*kept else { panic!("{kept:?}") };
    assert_eq!((received.name.as_str(), settled.name.as_str()), ("receive orders", "commit orders"));
    assert_eq!((received.links.len(), text(received, "messaging.batch.message_count").as_str()), (1, "3"));
    let parent = SpanContext::parse(PARENT.as_bytes()).unwrap();
    assert_eq!(
        (&*settled.trace_id, &*settled.parent_span_id),
        (&parent.trace.bytes()[..], &parent.span.bytes()[..])
    );
    assert_eq!(text(settled, "error.type"), "lease_lost");
    assert_eq!(text(settled, "messaging.consumer.group.name"), "shop");
}

/// Answers as the offsets of its messages say, and keeps what it has seen.
struct Answering(bool, Arc<Mutex<Vec<String>>>);

impl Handler for Answering {
    fn digest(&self) -> Arc<str> {
        "sha256:00".into()
    }

    fn max_chunk(&self) -> usize {
        9
    }

    fn takes_batches(&self) -> bool {
        self.0
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let place = |work: &Work| {
            let found = trace::of_headers(work.message.headers());
            found.map(|found| found.to_string()).unwrap_or_default()
        };
        self.1.lock().unwrap().extend(work.iter().map(place));
        let outcome = |work: &Work| match work.message.id().to_string().as_str() {
            "orders/3/7" => Outcome::Reject { reason: "seven\nis odd".to_owned() },
            "orders/3/8" => Outcome::NotStarted,
            _ => Outcome::Ok(None),
        };
        report(&self.digest(), work.iter().map(outcome).enumerate().collect());
        Box::pin(std::future::ready(()))
    }

    fn interrupt(&self) {}
}

fn handled(is_batch: bool, config: TracesConfig) -> (Vec<Span>, Vec<String>) {
    let (traced, otlp) = traced(config);
    let seen = Arc::new(Mutex::default());
    let handler = traced.handler(Arc::new(Answering(is_batch, Arc::clone(&seen))));
    let messages = [record(6, Some(PARENT)), record(7, None), record(8, Some(PARENT)), record(9, None)];
    let work = messages.map(|message| Work {
        message,
        attempt: 2,
        lane: None,
        key: None,
        scope: None,
        redo: None,
    });
    now(handler.handle(work.into(), Box::new(|_, outcomes| assert_eq!(outcomes.len(), 4))));
    let seen = seen.lock().unwrap().clone();
    (otlp.kept(), seen)
}

#[test]
fn each_start_that_is_recorded_or_fails_is_a_span_and_its_handler_sees_it() {
    let (spans, seen) = handled(false, quiet());
    let [six, seven] = &*spans else { panic!("{spans:?}") };
    let parent = SpanContext::parse(PARENT.as_bytes()).unwrap();
    assert_eq!((&*six.parent_span_id, six.links.len()), (&parent.span.bytes()[..], 1));
    let place = SpanContext::parse(seen[0].as_bytes()).unwrap();
    assert_eq!((&*six.span_id, place.trace), (&place.span.bytes()[..], parent.trace));
    assert_eq!([&*seen[1], &*seen[3]], ["", ""], "what nobody records has nothing to hand on");
    for (name, value) in [
        ("messaging.kafka.offset", "7"),
        ("messaging.destination.partition.id", "3"),
        ("messaging.message.body.size", "4"),
        ("pelton.attempt", "2"),
        ("error.type", "reject"),
    ] {
        assert_eq!(text(seven, name), value, "{name}");
    }
    assert_eq!(seven.status.as_ref().map(|status| status.message.as_str()), Some("seven"));
    let (spans, _) = handled(false, TracesConfig { failures: false, ..quiet() });
    assert_eq!(spans.len(), 1);
    let (spans, _) = handled(false, TracesConfig { max_per_second: 1, ..TracesConfig::default() });
    assert_eq!(spans.len(), 2, "one of each kind");
}

#[test]
fn a_call_of_a_batch_handler_is_one_span_with_links() {
    let (spans, seen) = handled(true, quiet());
    let [call] = &*spans else { panic!("{spans:?}") };
    assert_eq!((call.links.len(), call.parent_span_id.len()), (1, 0));
    assert_eq!(text(call, "messaging.batch.message_count"), "3", "one was not started");
    let place = SpanContext::parse(seen[0].as_bytes()).unwrap();
    assert_eq!(&*call.span_id, &place.span.bytes()[..]);
    assert_eq!(text(call, "error.type"), "reject");
}

#[test]
fn with_links_alone_a_handler_begins_a_trace_of_its_own() {
    let (spans, seen) = handled(false, TracesConfig { links_parent: true, ..quiet() });
    let (place, parent) =
        (SpanContext::parse(seen[0].as_bytes()).unwrap(), SpanContext::parse(PARENT.as_bytes()));
    assert_ne!(place.trace, parent.unwrap().trace);
    assert_eq!((spans[0].parent_span_id.len(), spans[0].links.len()), (0, 1));
}

/// Takes what has a body, for good or not at all.
#[derive(Debug)]
struct Topics;

impl OutboxTarget for Topics {
    fn describe(&self) -> String {
        "topics".to_owned()
    }

    fn system(&self) -> &'static str {
        "redis"
    }

    fn is_same(&self, _: &dyn OutboxTarget) -> bool {
        true
    }

    fn cannot_carry(&self, _: &StagedMessage) -> Option<String> {
        None
    }

    fn longest_delay_ms(&self) -> u64 {
        0
    }

    fn most(&self) -> usize {
        100
    }

    fn probe(&self) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self) -> Diagnosis {
        Diagnosis::default()
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(Self))
    }
}

impl Publisher for Topics {
    fn check(&mut self) -> Result<(), Unsent> {
        Ok(())
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let sent = |message: &Outgoing<'_>| match message.bytes() {
            b"" => Err(Unsent::for_good("it is\nempty")),
            _ => Ok(Sent::as_it_is("1")),
        };
        Ok(batch.iter().map(sent).collect())
    }
}

/// The spans of one call with these parents and bodies.
fn sent(config: TracesConfig, messages: &[(Option<&str>, &'static [u8])]) -> Vec<Span> {
    let (traced, otlp) = traced(config);
    let target = super::outbox::TracedTarget::new(Arc::new(Topics), traced, "audit".into());
    let message = |(parent, body): &(Option<&str>, &'static [u8])| {
        let headers: Vec<Header> =
            parent.iter().map(|parent| Header::new("traceparent", *parent)).collect();
        Outgoing { headers: headers.into(), ..Outgoing::of(*body) }
    };
    let batch: Vec<Outgoing<'_>> = messages.iter().map(message).collect();
    assert_eq!(target.publisher().unwrap().publish(&batch).unwrap().len(), messages.len());
    otlp.kept()
}

#[test]
fn a_call_that_sends_is_a_span_with_a_link_to_each_trace_that_is_recorded() {
    assert_eq!(sent(quiet(), &[(None, b"a"), (None, b"b")]).len(), 0);
    let [call] = &*sent(quiet(), &[(Some(PARENT), &b"a"[..]); 100]) else { panic!("one call") };
    assert_eq!((call.links.len(), call.dropped_links_count, call.parent_span_id.len()), (64, 36, 0));
    assert_eq!((call.name.as_str(), text(call, "messaging.system").as_str()), ("send audit", "redis"));
    assert_eq!(text(call, "messaging.batch.message_count"), "100");

    let unwanted = PARENT.replace("-01", "-00");
    let messages: [(_, &[u8]); 3] = [(Some(&*unwanted), b"a"), (Some(&*unwanted), b""), (None, b"")];
    let [failed] = &*sent(quiet(), &messages) else { panic!("one call") };
    assert_eq!((failed.links.len(), text(failed, "error.type").as_str()), (1, "permanent"));
    assert_eq!(failed.status.as_ref().map(|status| status.message.as_str()), Some("it is"));
    assert_eq!(sent(TracesConfig { failures: false, ..quiet() }, &messages).len(), 0);
}
