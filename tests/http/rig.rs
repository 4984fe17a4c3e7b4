//! A host, a handler that sends requests, and what becomes of them.

use pelton_core::message::{Channel, Message, Parts};
use pelton_core::outcome::Outcome;
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use pelton_host::{
    Grants, HandlerSpec, Host, HostOptions, HttpGrant, HttpLimits, HttpResolver, HttpSwitch, HttpTarget,
    IDEMPOTENCY_HEADER, PrivateAddresses, WasmHandler,
};
use pelton_tests::binary::root;
use pelton_tests::gateway::Gateway;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

/// The components of `guests/`, built once for each run of the suite.
pub fn guest(name: &str) -> &'static [u8] {
    &built(name).1
}

/// Where one of them is.
pub fn guest_path(name: &str) -> PathBuf {
    built(name).0.clone()
}

fn built(name: &str) -> &'static (PathBuf, Vec<u8>) {
    static BUILT: OnceLock<HashMap<String, (PathBuf, Vec<u8>)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let script =
            "source script/env; source script/guests; guest_build tests/http/guests/Cargo.toml --locked";
        let made =
            Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(root()).output();
        let made = made.expect("bash can be started");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let paths = String::from_utf8(made.stdout).expect("paths are text");
        let read = |path: PathBuf| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).expect("the component");
            (name, (path, bytes))
        };
        paths.lines().map(PathBuf::from).map(read).collect()
    });
    &built[name]
}

/// Names and their addresses, one list for each time that it is asked; the last one stays.
#[derive(Default)]
pub struct Names(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Names {
    pub fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let read = |list: &&[&str]| list.iter().map(|text| text.parse().expect("an address")).collect();
        let all = names.iter().map(|(name, lists)| ((*name).to_owned(), lists.iter().map(read).collect()));
        Arc::new(Self(Mutex::new(all.collect())))
    }
}

impl HttpResolver for Names {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut names = self.0.lock().expect("no panic");
        let found = match names.get_mut(name) {
            Some(lists) if lists.len() > 1 => Ok(lists.remove(0)),
            Some(lists) => Ok(lists[0].clone()),
            None if name == "hangs.example" => return Box::pin(std::future::pending()),
            None => Err(io::Error::other("no such name")),
        };
        Box::pin(async move { found })
    }
}

pub fn host() -> Host {
    host_with(None)
}

pub fn host_with(names: Option<Arc<Names>>) -> Host {
    let http_resolver = names.map(|names| names as Arc<dyn HttpResolver>);
    // Compiled once for all tests.
    static CODE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
    let options = HostOptions {
        cache_dir: Some(CODE.path().join("code")),
        max_instances: 160,
        guest_threads: Some(2),
        http_resolver,
        ..HostOptions::default()
    };
    Host::new(options).expect("a host")
}

/// A grant for a place at loopback.
pub fn grant(to: &str) -> HttpGrant {
    HttpGrant {
        to: HttpTarget::parse(to).expect("a place"),
        methods: Vec::new(),
        headers: Vec::new(),
        idempotency: Some(IDEMPOTENCY_HEADER.to_owned()),
        private: PrivateAddresses::Only(
            ["127.0.0.1/32", "::1/128"].map(|net| net.parse().expect("a net")).to_vec(),
        ),
        shadow: false,
    }
}

/// Limits that are met soon.
pub fn limits() -> HttpLimits {
    HttpLimits {
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(10),
        ..HttpLimits::default()
    }
}

pub fn granted(grants: Vec<HttpGrant>, limits: HttpLimits) -> HandlerSpec {
    spec(Grants { http: grants, http_limits: limits, ..Grants::default() })
}

pub fn spec(grants: Grants) -> HandlerSpec {
    HandlerSpec { grants: Arc::new(grants), memory: 32 << 20, ..HandlerSpec::default() }
}

pub fn scripted(grants: Vec<HttpGrant>, switch: HttpSwitch) -> HandlerSpec {
    spec(Grants { http: grants, http_switch: switch, ..Grants::default() })
}

/// A handler that may reach these gateways.
pub fn caller(host: &Host, gateways: &[&Gateway]) -> Arc<WasmHandler> {
    let grants = gateways.iter().map(|gateway| grant(&gateway.origin())).collect();
    load(host, &granted(grants, limits()))
}

pub fn load(host: &Host, spec: &HandlerSpec) -> Arc<WasmHandler> {
    host.load_bytes("orders", guest("http_caller"), spec).expect("it loads")
}

/// A message with this id and body.
pub fn work(id: &str, body: &str) -> Work {
    let channel = Arc::new(Channel::new("orders", "queue"));
    let message = Message::new(Parts { channel: &channel, body: body.as_bytes(), ..Parts::named(id) });
    Work { message, attempt: 1, lane: None, key: None, scope: None, redo: None }
}

/// Runs a chunk to its end.
pub fn run(handler: &WasmHandler, work: Vec<Work>) -> Vec<Outcome> {
    let slots: Arc<Mutex<Vec<Option<Outcome>>>> = Arc::new(Mutex::new(vec![None; work.len()]));
    let filled = slots.clone();
    let report: Report = Box::new(move |_, outcomes| {
        for (at, outcome) in outcomes {
            filled.lock().expect("no panic")[at] = Some(outcome);
        }
    });
    block_on(handler.handle(work, report));
    let slots = std::mem::take(&mut *slots.lock().expect("no panic"));
    slots.into_iter().map(|slot| slot.expect("every place is reported")).collect()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    // Without sockets, as the threads of guests are.
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// What became of each step of one message.
pub fn steps(handler: &WasmHandler, order: &Value) -> Vec<Value> {
    report(&run(handler, vec![work("m", &order.to_string())]).remove(0))
}

/// The report in an outcome.
pub fn report(outcome: &Outcome) -> Vec<Value> {
    match outcome {
        Outcome::Retry { reason, .. } => serde_json::from_str(reason).expect(reason),
        other => panic!("{other:?}"),
    }
}

/// What became of one request.
pub fn one(handler: &WasmHandler, step: &Value) -> Value {
    steps(handler, &json!({ "steps": [step] })).remove(0)
}

/// The error of a GET, or its status.
pub fn said(handler: &WasmHandler, url: &str) -> String {
    let done = one(handler, &json!({ "url": url }));
    match done["error"].as_str() {
        Some(error) => error.to_owned(),
        None => done["status"].to_string(),
    }
}
