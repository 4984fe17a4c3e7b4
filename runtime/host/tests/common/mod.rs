//! Hostile handlers, built from text, and what runs messages through them.

#![allow(clippy::unwrap_used, dead_code)]

pub mod deeds;
pub mod sql;
pub mod worker;

use pelton_core::Header;
use pelton_core::message::{Channel, HeaderList, Lane, Message, Parts};
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::{Handler, Report, Work};
use pelton_host::{HandlerSpec, Host, HostOptions, LogLevel, LogLine, LogSink, WasmHandler};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WASI: &str = include_str!("../fixtures/wasi.wit");
const CHAOS: &str = include_str!("../fixtures/chaos.wat");
const MANY: &str = include_str!("../fixtures/many.wat");
const QUIET: &str = include_str!("../fixtures/quiet.wat");

/// A component of the world `test:worlds/NAME`, from a core module in text.
pub fn component(world: &str, wat: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = Resolve::default();
    // Not what the SDKs use of the standard: the parts that are wanted here are in the fixture.
    resolve.push_file("../../wit/handler.wit").unwrap();
    let package = resolve.push_str("wasi.wit", &format!("package test:root;\n{WASI}")).unwrap();
    let _ = package;
    let (worlds, _) = resolve.packages.iter().find(|(_, p)| p.name.to_string() == "test:worlds").unwrap();
    let world = resolve.select_world(&[worlds], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    encoder.encode().unwrap()
}

/// The handler that does whatever the first byte of a body says.
pub fn chaos() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| component("chaos", CHAOS))
}

/// The batch handler.
pub fn many() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| component("many", MANY))
}

/// A handler without imports, with so many pages of memory, that does `start` when it is made.
pub fn quiet(pages: u32, start: &str) -> Vec<u8> {
    component("quiet", &quiet_module(pages, start))
}

/// Its core module in text.
pub fn quiet_module(pages: u32, start: &str) -> String {
    QUIET.replace("MEMORY", &pages.to_string()).replace("START", start)
}

/// A line of output, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub pipeline: String,
    pub message: String,
    pub level: LogLevel,
    pub stream: &'static str,
    pub text: String,
    pub fields: Option<String>,
}

/// Keeps lines.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Vec<Line>>);

impl LogSink for Lines {
    fn line(&self, line: &LogLine<'_>) {
        self.0.lock().unwrap().push(Line {
            pipeline: line.pipeline.to_owned(),
            message: line.message_id.to_owned(),
            level: line.level,
            stream: line.stream,
            text: line.text.to_owned(),
            fields: line.fields.map(str::to_owned),
        });
    }
}

impl Lines {
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A host for tests, with two threads in each pool.
pub fn host() -> Host {
    Host::new(options()).unwrap()
}

pub fn options() -> HostOptions {
    HostOptions { max_instances: 32, guest_threads: Some(2), ..HostOptions::default() }
}

/// A host that keeps the output.
pub fn listening() -> (Host, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let host = Host::new(HostOptions { log_sink: Some(lines.clone()), ..options() }).unwrap();
    (host, lines)
}

/// Limits that are met quickly.
pub fn spec() -> HandlerSpec {
    HandlerSpec {
        timeout: Duration::from_millis(300),
        memory: 16 << 20,
        concurrency: 2,
        ..HandlerSpec::default()
    }
}

pub fn load(host: &Host, bytes: &[u8], spec: &HandlerSpec) -> Arc<WasmHandler> {
    host.load_bytes("orders", bytes, spec).unwrap()
}

/// One message with this body; its id is the body's.
pub fn work(body: &str) -> Work {
    Work {
        message: Message::new(Parts {
            channel: &Arc::new(Channel::new("orders", "queue")),
            key: Some(b"key"),
            headers: [Header::new("h", [0, 255])].iter().collect::<HeaderList>().view(),
            body: body.as_bytes(),
            published_at_ms: Some(1),
            ..Parts::named(&format!("id-{body}"))
        }),
        attempt: 1,
        lane: None,
        key: Some(format!("key-{body}").into()),
        scope: None,
        redo: None,
    }
}

/// The same in a lane.
pub fn in_lane(body: &str, lane: u64) -> Work {
    Work { lane: Some(Lane(lane)), ..work(body) }
}

pub fn chunk(bodies: &[&str]) -> Vec<Work> {
    bodies.iter().map(|body| work(body)).collect()
}

/// Runs a chunk to its end; outcomes in the order of the messages. Each place must be reported
/// exactly once.
pub fn run(handler: &WasmHandler, work: Vec<Work>) -> Vec<Outcome> {
    block_on(handle(handler, work))
}

/// As `run`, for use inside a runtime.
pub async fn handle(handler: &WasmHandler, work: Vec<Work>) -> Vec<Outcome> {
    let slots: Arc<Mutex<Vec<Option<Outcome>>>> = Arc::new(Mutex::new(vec![None; work.len()]));
    let filled = Arc::clone(&slots);
    let report: Report = Box::new(move |_, outcomes| {
        let mut slots = filled.lock().unwrap();
        for (at, outcome) in outcomes {
            assert!(slots[at].replace(outcome).is_none(), "place {at} was reported twice");
        }
    });
    handler.handle(work, report).await;
    let mut slots = slots.lock().unwrap();
    slots.iter_mut().map(|slot| slot.take().expect("every place is reported")).collect()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// The only outcome of one message.
pub fn one(handler: &WasmHandler, body: &str) -> Outcome {
    run(handler, chunk(&[body])).remove(0)
}

/// The reason of a fault of this kind.
pub fn fault(outcome: &Outcome, expected: FaultKind) -> String {
    match outcome {
        Outcome::Fault { kind, reason } if *kind == expected => reason.clone(),
        other => panic!("expected a fault of the kind {expected:?}, found {other:?}"),
    }
}
