//! P16: HTTP. A handler that sends each message on, against a native loop with the same client and as many
//! connections; to a server that answers at once, and to one that takes its time.

mod server;

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::{self, Dedup, Ours};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pelton_host::{
    Grants, HandlerSpec, HttpGrant, HttpLimits, HttpTarget, IDEMPOTENCY_HEADER, IpNet, PrivateAddresses,
};
use server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// One of the two rows.
struct Case {
    what: &'static str,
    /// What the server waits before it answers.
    delay: Duration,
    /// Requests at once, on both sides.
    at_once: usize,
    count: u64,
    goal: f64,
}

const CASES: [Case; 2] = [
    Case {
        what: "HTTP: 1 KB sent on, to a server that answers at once, 16 at once",
        delay: Duration::ZERO,
        at_once: 16,
        count: 100_000,
        goal: 0.7,
    },
    Case {
        what: "HTTP: 1 KB sent on, to a server that takes 10 ms, 64 at once",
        delay: Duration::from_millis(10),
        at_once: 64,
        count: 30_000,
        goal: 0.9,
    },
];

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    CASES.iter().map(|case| row(setup, case)).collect()
}

fn row(setup: &Setup, case: &Case) -> Result<Row> {
    let server = Server::start(case.delay)?;
    let ours = Ours::with(&setup.http_guest, spec(case, &server)?)?;
    let count = if setup.quick { case.count / 10 } else { case.count };
    let load = Load { level: Level::None, first: 1, count };
    let mut void = None;
    let [a, b] = alternate(setup.runs, |side| {
        let took = match side {
            0 => {
                let dir = tempfile::tempdir_in(&setup.work_dir)?;
                ours::fill(dir.path(), load, Dedup::MessageId)?;
                ours.drain(dir.path(), load, Dedup::MessageId)?.handling
            }
            _ => natively(&server.place(), load, case.at_once)?,
        };
        let served = server.take();
        ensure!(served.requests >= count, "{} of {count} requests came", served.requests);
        void = void.take().or_else(|| Set::differs(load.produced(), served.set));
        Ok(count as f64 / took.as_secs_f64())
    })?;
    let (what, goal) = (case.what.to_owned(), Goal::Ratio(case.goal));
    Ok(Row { id: "P16", what, unit: "messages/s", ours: a, theirs: Some(b), goal, void })
}

fn spec(case: &Case, server: &Server) -> Result<HandlerSpec> {
    let loopback: IpNet = "127.0.0.1/32".parse()?;
    let grant = HttpGrant {
        to: HttpTarget::parse(&server.place()).map_err(anyhow::Error::msg)?,
        methods: Vec::new(),
        headers: Vec::new(),
        idempotency: Some(IDEMPOTENCY_HEADER.to_owned()),
        private: PrivateAddresses::Only(vec![loopback]),
        shadow: false,
    };
    let grants = Grants {
        config: Some(vec![("place".to_owned(), server.place())]),
        http: vec![grant],
        http_limits: HttpLimits { max_concurrent: case.at_once, ..HttpLimits::default() },
        ..Grants::default()
    };
    Ok(HandlerSpec { concurrency: case.at_once, grants: Arc::new(grants), ..HandlerSpec::default() })
}

/// As many tasks as may send at once, each with its next message; one pool for all.
fn natively(place: &str, load: Load, at_once: usize) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("theirs").build()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(at_once).build(connector);
    let next = Arc::new(AtomicU64::new(load.first));
    let start = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..at_once)
            .map(|_| tokio::spawn(sends(client.clone(), place.to_owned(), load, next.clone())))
            .collect();
        for task in tasks {
            task.await??;
        }
        anyhow::Ok(())
    })?;
    Ok(start.elapsed())
}

async fn sends(
    client: Client<HttpConnector, Full<Bytes>>,
    place: String,
    load: Load,
    next: Arc<AtomicU64>,
) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Relaxed);
        if !load.numbers().contains(&number) {
            return Ok(());
        }
        // As long as the key that the host makes for each message.
        let request = Request::post(&place)
            .header(IDEMPOTENCY_HEADER, format!("{number:032x}"))
            .body(Full::new(load.body(number).into()))?;
        let answer = client.request(request).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        answer.into_body().collect().await?;
    }
}
