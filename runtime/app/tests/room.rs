//! A pipeline that waits for room for an instance says so to whoever asks, not in the log alone.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, missing_docs)]

mod common;

use common::{Home, end, signal, until};
use rustix::process::Signal;
use serde_json::Value;
use std::process::Stdio;

/// A command that never ends, as a plain program.
const SPINS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop $on (br $on))))"#;

fn configuration(concurrency: u32) -> String {
    format!(
        "shutdown_timeout = \"1s\"\n[pipelines.orders.handler]\ncomponent = \"good.wasm\"\n\
         protocol = \"command\"\ntimeout = \"1h\"\nconcurrency = {concurrency}\n"
    )
}

/// What `status --json` says of the pipeline.
fn status(home: &Home) -> Value {
    let all: Value = serde_json::from_str(&home.done(&["status", "--json"])).unwrap();
    all["pipelines"]["orders"].clone()
}

#[test]
fn a_pipeline_that_waits_for_room_says_so_in_its_status() {
    let home = Home::new("");
    home.write("good.wasm", &wat::parse_str(SPINS).unwrap());
    home.write("pelton.toml", configuration(1).as_bytes());
    assert_eq!(status(&home)["waits_for_room"], Value::Null, "no worker says");
    let mut child = home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    until("it runs", || (status(&home)["waits_for_room"] == false).then_some(()));
    // The worker has made room for what it began with.
    home.write("pelton.toml", configuration(8).as_bytes());
    home.done(&["reload"]);
    home.send(8);
    let seen = until("it waits", || Some(status(&home)).filter(|seen| seen["waits_for_room"] == true));
    assert!(seen["counted"]["waits_for_room"].as_u64() >= Some(1), "{seen}");
    let said = home.done(&["status"]);
    assert!(
        said.contains("orders: waits for room for an instance (waits_for_room): all 3 that its"),
        "{said}"
    );
    assert!(said.contains("Restart the worker if a reload has added some"), "{said}");
    signal(&child, Signal::TERM);
    assert_eq!(end(&mut child).code(), Some(0));
}
