//! Sizes of the sandbox, to look at: `cargo test --release -p pelton-host --test measure -- --ignored --nocapture`.
//! They are no checks, since they depend on the machine.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;
use pelton_host::{HandlerSpec, Host, HostOptions, Isolation, WasmHandler};
use std::sync::Arc;
use std::time::Instant;

/// Nanoseconds of one message of a kilobyte, in chunks of 256.
fn message_ns(handler: &WasmHandler, chunks: u32) -> u128 {
    let body = "a".repeat(1024);
    let work: Vec<_> = (0..256).map(|_| plain(&body)).collect();
    block_on(async {
        let mut best = u128::MAX;
        for _ in 0..50 {
            let start = Instant::now();
            let mut whole = true;
            for _ in 0..chunks {
                let outcomes = handle(handler, work.clone()).await;
                // A busy machine can make a message slow; what is then handed back is no measure.
                whole &= outcomes.iter().all(|outcome| *outcome != Outcome::NotStarted);
            }
            if whole {
                best = best.min(start.elapsed().as_nanos() / u128::from(chunks * 256));
            }
        }
        best
    })
}

/// A message with neither key nor headers.
fn plain(body: &str) -> Work {
    let mut work = work(body);
    let message = Arc::make_mut(&mut work.message);
    message.id = "orders/1234567".to_owned();
    (message.key, message.headers) = (None, Vec::new());
    work.idempotency_key = "orders/1234567".to_owned();
    work
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Both kinds of handler in one isolation.
fn both(isolation: Isolation) {
    let host = host();
    let quiet = quiet(1, "");
    for (name, bytes) in [("no imports", &quiet[..]), ("WASI", chaos())] {
        let handler = load(&host, bytes, &HandlerSpec { isolation, ..HandlerSpec::default() });
        println!("{name}, {isolation:?}: {} ns a message", message_ns(&handler, 10));
    }
}

#[test]
#[ignore = "measures"]
fn warm() {
    both(Isolation::Reuse);
}

#[test]
#[ignore = "measures"]
fn fresh() {
    both(Isolation::Batch);
    both(Isolation::Message);
}

#[test]
#[ignore = "measures"]
fn pipelines() {
    let start = Instant::now();
    let host = Host::new(HostOptions { max_instances: 4096, ..HostOptions::default() }).unwrap();
    println!("host for 4096 instances: {:?}, {} KiB", start.elapsed(), resident_kib());
    let before = resident_kib();
    let start = Instant::now();
    let handlers: Vec<_> = (0..1000)
        .map(|n| host.load_bytes(&format!("p{n}"), chaos(), &HandlerSpec::default()).unwrap())
        .collect();
    println!("1000 pipelines: {:?}, {} KiB each", start.elapsed(), (resident_kib() - before) / 1000);
    for handler in &handlers {
        assert_eq!(one(handler, "a"), Outcome::Ok);
    }
    println!("after a message each: {} KiB each", (resident_kib() - before) / 1000);
}

/// For a component of another language: `MEASURE_COMPONENT=x.wasm`.
#[test]
#[ignore = "measures"]
fn a_file() {
    let Some(path) = std::env::var_os("MEASURE_COMPONENT") else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let spec = HandlerSpec::default();
    for run in ["never compiled", "compiled before"] {
        let start = Instant::now();
        let options = HostOptions { cache_dir: Some(cache.path().to_owned()), ..options() };
        let host = Host::new(options).unwrap();
        let handler = host.load("p", path.as_ref(), &spec).unwrap();
        println!("{run}: {:?} to the first instance, {} KiB", start.elapsed(), resident_kib());
        println!("{:?}", one(&handler, "a"));
        for isolation in [Isolation::Reuse, Isolation::Message] {
            let spec = HandlerSpec { isolation, ..spec.clone() };
            let handler = host.load("p", path.as_ref(), &spec).unwrap();
            println!("{isolation:?}: {} ns a message", message_ns(&handler, 2));
        }
    }
}
