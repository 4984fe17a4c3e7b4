//! A collector that takes OTLP over HTTP, decodes it by the published schema, and keeps it. It may have bad
//! days.

use crate::wait::until;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It takes what it is sent.
    Well,
    /// It takes connections, and never answers.
    Hangs,
    /// It ends connections without a word, with what was sent unread.
    Resets,
    /// It answers with this status.
    Answers(u16),
}

/// A collector, at an address of its own.
pub struct Collector {
    /// For `[telemetry.otlp]`.
    pub endpoint: String,
    kept: Arc<Kept>,
}

struct Kept {
    spans: Mutex<Vec<Span>>,
    resources: Mutex<Vec<KeyValue>>,
    heads: Mutex<Vec<String>>,
    requests: AtomicU64,
    mood: Mutex<Mood>,
}

impl Collector {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("it listens"));
        let kept = Arc::new(Kept {
            spans: Mutex::default(),
            resources: Mutex::default(),
            heads: Mutex::default(),
            requests: AtomicU64::new(0),
            mood: Mutex::new(mood),
        });
        let keeps = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeps = keeps.clone();
                std::thread::spawn(move || keeps.serve(&stream));
            }
        });
        Self { endpoint, kept }
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many spans of a name.
    #[must_use]
    pub fn wait(&self, name: &str, count: usize) -> Vec<Span> {
        let of = || self.spans().into_iter().filter(|span| span.name == name).collect::<Vec<_>>();
        until(&format!("{count} spans `{name}`"), || Some(of()).filter(|spans| spans.len() >= count))
    }

    /// What was said of who sends.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<String> {
        text(&self.kept.resources.lock().unwrap_or_else(PoisonError::into_inner), name)
    }

    /// A header of the last request that was read.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let heads = self.kept.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heads = heads.iter().filter_map(|line| line.split_once(':'));
        let found = heads.find(|(theirs, _)| theirs.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned())
    }

    /// Requests that came, answered or not.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.kept.requests.load(Ordering::SeqCst)
    }

    /// Another mood, for what comes from now on.
    pub fn turns(&self, mood: Mood) {
        *self.kept.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }
}

impl Kept {
    fn serve(&self, stream: &TcpStream) {
        if *self.mood.lock().unwrap_or_else(PoisonError::into_inner) == Mood::Resets {
            // A connection that is closed before all is read is reset.
            drop(stream.peek(&mut [0]));
            self.requests.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let mut read = BufReader::new(stream);
        while let Some((path, head, body)) = request(&mut read) {
            let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
            *self.heads.lock().unwrap_or_else(PoisonError::into_inner) = head;
            if mood == Mood::Well && path == "/v1/traces" {
                let request =
                    ExportTraceServiceRequest::decode(&*body).expect("it is protobuf of the schema");
                for of in request.resource_spans {
                    assert!(of.schema_url.starts_with("https://opentelemetry.io/schemas/1."));
                    let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
                    *resources = of.resource.unwrap_or_default().attributes;
                    let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                    self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
                }
            }
            self.requests.fetch_add(1, Ordering::SeqCst);
            let status = match mood {
                Mood::Well => 200,
                Mood::Answers(status) => status,
                Mood::Resets => return,
                // Until the other side goes.
                Mood::Hangs => {
                    drop(read.read(&mut [0]));
                    return;
                }
            };
            let answer = format!("HTTP/1.1 {status} so\r\ncontent-length: 0\r\n\r\n");
            if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn request(read: &mut BufReader<&TcpStream>) -> Option<(String, Vec<String>, Vec<u8>)> {
    let (mut path, mut head, mut length) = (String::new(), Vec::new(), 0);
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).ok()?;
    Some((path, head, body))
}

/// The value of an attribute, as text.
#[must_use]
pub fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = &attributes.iter().find(|one| one.key == name)?.value;
    let Some(AnyValue { value: Some(value) }) = value else { return None };
    Some(match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    })
}

/// Bytes of an id, in hexadecimal.
#[must_use]
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
