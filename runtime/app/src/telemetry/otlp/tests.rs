//! A collector on its bad days.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{OtlpConfig, TracesConfig};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// An answer, or none at all.
type Answers = Box<dyn FnMut(u32) -> Option<Vec<u8>> + Send>;

/// Answers each request by its number; gives what it was asked.
fn collector(mut answers: Answers) -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (asked, asks) = channel();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(std::thread::spawn(move || {
        let (mut number, mut kept) = (0, Vec::new());
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            kept.push(stream.try_clone().unwrap());
            let mut read = BufReader::new(stream.try_clone().unwrap());
            while let Some(ask) = request(&mut read) {
                asked.send(ask).unwrap_or_default();
                match answers(number) {
                    Some(answer) => (&stream).write_all(&answer).unwrap(),
                    None => break,
                }
                number += 1;
            }
        }
    }));
    (url, asks)
}

fn request(read: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn answer(status: &str, more: &str, body: &[u8]) -> Option<Vec<u8>> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{more}\r\n", body.len());
    Some([head.as_bytes(), body].concat())
}

fn otlp(url: &str) -> Otlp {
    let config = OtlpConfig {
        traces: Some(format!("{url}/v1/traces")),
        metrics: Some(format!("{url}/v1/metrics")),
        headers: vec![("x-key".to_owned(), crate::config::Given::Text("s3cret".to_owned()))],
        ca_file: None,
        timeout: Duration::from_secs(10),
        interval: Duration::from_secs(15),
    };
    let config = TelemetryConfig {
        service_name: "shop".to_owned(),
        attributes: vec![("deployment.environment.name".to_owned(), "test".to_owned())],
        otlp: Some(config),
        traces: TracesConfig::default(),
        metrics: Default::default(),
    };
    Otlp::start(&config, &|_| None).unwrap().unwrap()
}

fn spans(otlp: &Otlp, count: u32) {
    (0..count).for_each(|n| otlp.span(Span { name: n.to_string(), ..Span::default() }));
}

fn names((_, body): &(String, Vec<u8>)) -> Vec<String> {
    let request = ExportTraceServiceRequest::decode(&**body).unwrap();
    let all = request.resource_spans.iter().flat_map(|all| &all.scope_spans).flat_map(|all| &all.spans);
    all.map(|span| span.name.clone()).collect()
}

#[test]
fn a_request_has_all_that_a_collector_wants_to_know() {
    let (url, asks) = collector(Box::new(|_| answer("200 OK", "", b"")));
    let otlp = otlp(&url);
    spans(&otlp, 3);
    otlp.end();
    let ask = asks.recv().unwrap();
    let head = ask.0.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    for line in ["content-type: application/x-protobuf", "x-key: s3cret", "user-agent: pelton/"] {
        assert!(head.contains(line), "{head}");
    }
    let request = ExportTraceServiceRequest::decode(&*ask.1).unwrap();
    let [of_us] = &*request.resource_spans else { panic!("{request:?}") };
    let said: Vec<&str> =
        of_us.resource.iter().flat_map(|r| &r.attributes).map(|a| a.key.as_str()).collect();
    for name in ["service.name", "service.version", "service.instance.id", "deployment.environment.name"] {
        assert!(said.contains(&name), "{said:?}");
    }
    assert_eq!(names(&ask), ["0", "1", "2"]);
    assert_eq!(otlp.fates().all(), [("spans_sent", 3)]);
}

#[test]
fn what_is_not_taken_for_now_is_sent_again_when_the_collector_says() {
    let (url, asks) = collector(Box::new(|number| match number {
        0 => answer("429 Too Many Requests", "retry-after: 1\r\n", b""),
        _ => answer("200 OK", "", b""),
    }));
    let otlp = otlp(&url);
    spans(&otlp, 600);
    let first = asks.recv().unwrap();
    let refused = Instant::now();
    assert_eq!(asks.recv().unwrap().1, first.1, "the same once more");
    assert!(refused.elapsed() >= Duration::from_millis(950), "{:?}", refused.elapsed());
    otlp.end();
    assert_eq!(otlp.fates().all(), [("spans_sent", 600)]);
}

#[test]
fn what_is_refused_is_counted_and_the_next_goes_on() {
    let part = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 5,
            error_message: "no".to_owned(),
        }),
    };
    let part = part.encode_to_vec();
    let (url, asks) = collector(Box::new(move |number| match number {
        0 => answer("500 Internal Server Error", "", b"oh"),
        1 => answer("200 OK", "", &part),
        _ => answer("200 OK", "", b"\xff no protobuf"),
    }));
    let otlp = otlp(&url);
    for _ in 0..3 {
        spans(&otlp, 512);
        asks.recv().unwrap();
    }
    otlp.end();
    assert_eq!(otlp.fates().all(), [("spans_sent", 2 * 512 - 5), ("spans_dropped_refused", 517)]);
    assert_eq!(otlp.fates().spans_dropped(), 517);
}

#[test]
fn one_that_hangs_costs_what_is_dropped_and_two_seconds_at_the_end() {
    let (url, asks) = collector(Box::new(|_| None));
    let otlp = otlp(&url);
    spans(&otlp, 512);
    asks.recv().unwrap();
    let began = Instant::now();
    spans(&otlp, 10_000);
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits");
    let began = Instant::now();
    otlp.end();
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    let full = 10_000 - u64::try_from(queue::MOST).unwrap();
    assert_eq!(otlp.fates().all(), [("spans_dropped_full", full), ("spans_dropped_lost", 10_512 - full)]);
}

#[test]
fn one_that_is_away_ends_the_worker_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let otlp = otlp(&format!("http://{closed}"));
    spans(&otlp, 7);
    let began = Instant::now();
    otlp.end();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(otlp.fates().all(), [("spans_dropped_lost", 7)]);
    spans(&otlp, 1);
    assert_eq!(otlp.fates().spans_dropped(), 8, "what comes later is counted, too");
}

#[test]
fn the_newest_metrics_take_the_place_of_those_that_wait() {
    let (url, asks) = collector(Box::new(|_| None));
    let otlp = otlp(&url);
    otlp.metrics(Vec::new());
    let ask = asks.recv().unwrap();
    assert!(ask.0.starts_with("POST /v1/metrics"), "{}", ask.0);
    otlp.metrics(Vec::new());
    otlp.metrics(Vec::new());
    assert_eq!(otlp.fates().all(), [("metrics_dropped_lost", 1)]);
}
