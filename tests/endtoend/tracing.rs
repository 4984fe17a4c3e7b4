//! A message's trace, from its producer over two pipelines to its letter and back; and collectors on their
//! bad days.

use opentelemetry_proto::tonic::trace::v1::Span;
use pelton_tests::collector::{Collector, Mood, hex, text};
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site, Status};
use pelton_tests::wait::until;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";

/// Two pipelines, of which the first sends to the second.
fn site(collector: &Collector, traces: &str) -> Site {
    let endpoint = &collector.endpoint;
    let otlp = format!("otlp = {{ endpoint = \"{endpoint}\", timeout = \"500ms\" }}");
    let head = format!("[telemetry]\nservice_name = \"shop\"\n{otlp}\ntraces = {{ {traces} }}\n");
    let first = Pipeline::new("first", plugin("deeds"))
        .with("retry", "max_attempts = 2\ninitial_interval = \"20ms\"")
        .with("grants", "state = [\"default\"]")
        .with("grants.outbox", "next = { type = \"embedded\", queue = \"second\" }");
    let second = Pipeline::new("second", plugin("orders")).with("retry", "max_attempts = 1");
    Site::with(&head, &[first, second])
}

fn says(span: &Span, name: &str) -> String {
    text(&span.attributes, name).unwrap_or_default()
}

fn id(span: &Span) -> String {
    hex(&span.span_id)
}

fn parent(span: &Span) -> String {
    hex(&span.parent_span_id)
}

#[test]
fn a_message_has_one_trace_from_its_producer_to_its_letter_and_back() {
    let collector = Collector::start(Mood::Well);
    let site = site(&collector, "ratio = 0.0");
    let traced = format!("traceparent=00-{TRACE}-{PRODUCER}-01");
    site.done(&[
        "send",
        "first",
        "--body",
        "{\"send\": [\"next\"]}",
        "--header",
        &traced,
        "--header",
        "tracestate=a=b",
    ]);
    site.done(&["send", "first", "--body", "{}"]);
    let worker = site.worker().ready();
    let [letter] = &*collector.wait("send dead letters of second", 1) else { panic!("one letter") };
    let [first] = &*collector.wait("process first", 1) else { panic!("one is recorded, and one is not") };
    let [second] = &*collector.wait("process second", 1) else { panic!("one") };
    let [received] = &*collector.wait("receive first", 1) else { panic!("one") };
    assert_eq!(collector.resource("service.name").as_deref(), Some("shop"));
    assert!([first, second, letter].iter().all(|span| hex(&span.trace_id) == TRACE));
    assert_eq!(
        [parent(first), parent(second), parent(letter)],
        [PRODUCER.to_owned(), id(first), id(second)]
    );
    assert_eq!((first.kind, second.kind, letter.kind, received.kind), (5, 5, 4, 3));
    assert_eq!((received.links.len(), hex(&received.links[0].span_id)), (1, PRODUCER.to_owned()));
    for (span, name, value) in [
        (first, "messaging.system", "pelton"),
        (first, "messaging.operation.type", "process"),
        (first, "messaging.destination.name", "first"),
        (first, "messaging.message.id", "first/1"),
        (first, "pelton.attempt", "1"),
        (first, "error.type", ""),
        (second, "error.type", "reject"),
        (letter, "pelton.letter.cause", "rejected"),
        (letter, "messaging.operation.type", "send"),
    ] {
        assert_eq!(says(span, name), value, "{}: {name}", span.name);
    }
    assert!(says(first, "pelton.handler.digest").starts_with("sha256:"));
    assert_eq!(second.status.as_ref().map(|status| status.code), Some(2));
    assert!(first.start_time_unix_nano <= first.end_time_unix_nano);

    // The letter has its own place, and where it came from; what it comes to is in the same trace.
    let [kept] = &*site.letters("second") else { panic!("one letter") };
    let headers = kept["headers"].to_string();
    assert!(headers.contains(&format!("00-{TRACE}-{}-01", id(letter))), "{headers}");
    assert!(headers.contains("pelton-origin-traceparent") && headers.contains(&id(first)), "{headers}");
    let line = worker.log.wait("the letter is logged", |line| line.says("is a dead letter"));
    assert_eq!((line.field("trace_id"), line.field("span_id")), (TRACE, &*id(letter)));
    site.done(&["dlq", "replay", "second", "--all"]);
    let replayed = collector.wait("process second", 2).into_iter().find(|span| parent(span) == id(letter));
    let replayed = replayed.expect("the replay is a consequence of the letter");
    assert_eq!((hex(&replayed.trace_id).as_str(), &*says(&replayed, "pelton.replayed")), (TRACE, "true"));
    worker.stop();
}

#[test]
fn what_fails_is_recorded_and_handlers_lines_have_its_ids() {
    let collector = Collector::start(Mood::Well);
    let site = site(&collector, "sampler = \"always\"");
    site.done(&["send", "second", "--body", "{\"id\": 7, \"customer\": \"c\", \"amount_cents\": 5}"]);
    let worker = site.worker().ready();
    let line = worker.log.wait("it is taken", |line| line.says(" taken"));
    let [taken] = &*collector.wait("process second", 1) else { panic!("one") };
    let ids = (hex(&taken.trace_id), id(taken));
    assert_eq!((line.field("trace_id"), line.field("span_id")), (&*ids.0, &*ids.1));
    assert_eq!((line.field("message_id"), parent(taken)), ("second/1", String::new()));
    worker.stop();

    let collector = Collector::start(Mood::Well);
    let site = self::site(&collector, "sampler = \"never\"");
    let unwanted = format!("traceparent=00-{TRACE}-{PRODUCER}-00");
    site.done(&["send", "first", "--body", "{\"then\": \"retry\", \"times\": 1}", "--header", &unwanted]);
    site.done(&["send", "first", "--body", "{}"]);
    let worker = site.worker().ready();
    let [failed] = &*collector.wait("process first", 1) else { panic!("the failure alone") };
    assert_eq!((&*says(failed, "error.type"), parent(failed)), ("retry", PRODUCER.to_owned()));
    until("both are handled", || (site.status("first").handled == 2).then_some(()));
    worker.stop();
    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn variables_of_opentelemetry_win_over_the_file() {
    let (named, other) = (Collector::start(Mood::Well), Collector::start(Mood::Well));
    let site = site(&other, "sampler = \"never\"");
    let mut variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*named.endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b"),
        ("OTEL_SERVICE_NAME", "till"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let handles_one = |variables: &[(&str, &str)]| {
        site.done(&["send", "first", "--body", "{}"]);
        let worker = site.worker_with(&["--until-empty"], variables);
        assert_eq!(worker.wait().code, Some(0), "{}", worker.log.tail());
    };
    handles_one(&variables);
    assert_eq!(named.wait("process first", 1).len(), 1);
    assert_eq!(named.resource("service.name").as_deref(), Some("till"));
    assert_eq!(named.header("api-key").as_deref(), Some("a b"));

    let requests = named.requests();
    variables.push(("OTEL_SDK_DISABLED", "true"));
    handles_one(&variables);
    assert_eq!((named.requests(), other.requests()), (requests, 0));
}

#[test]
fn collectors_on_their_bad_days_cost_spans_and_nothing_else() {
    const MESSAGES: u64 = 100;
    let bodies: Vec<String> = (0..MESSAGES).map(|_| "{}".to_owned()).collect();
    for mood in [Mood::Hangs, Mood::Resets, Mood::Answers(429), Mood::Answers(500), Mood::Well] {
        let collector = Collector::start(mood);
        let site = site(&collector, "sampler = \"always\", max_per_second = 100000");
        site.send_lines("first", &[], &bodies);
        let (worker, ended) = site.until_empty();
        assert_eq!(Status::of(&ended.out, "first").handled, MESSAGES, "{mood:?}");
        assert!(collector.requests() > 0, "{mood:?}");
        let lines = worker.log.lines();
        let is_said = lines.iter().any(|line| line.says("spans do not reach the collector"));
        assert_eq!((mood == Mood::Well, mood == Mood::Well), (!is_said, collector.spans().len() == 100));
    }
}
