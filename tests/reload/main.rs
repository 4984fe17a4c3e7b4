//! Reload suite: handlers replaced while the real binary runs.
//!
//! Versions are the example plugin `orders`, compiled from source, with another word in each; what a message
//! comes to names the version that handled it. Fault 24, threats 1, 14, 15 and 20.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]

mod canary;
mod compiler;
mod configuration;
mod crash;
mod files;
mod hostile;
mod kafka;
mod kills;
mod oci;
mod odd_files;
mod redis;
mod refused;
mod restarts;
mod shadow;
mod shared;
mod signatures;
mod sqs;
mod swaps;
mod words;

use pelton_tests::components::orders_version;
use pelton_tests::log::{Line, Log};
use pelton_tests::site::{Pipeline, Site};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The component that the configuration of a site names.
const COMPONENT: &str = "orders.wasm";

/// A site with a pipeline `orders` on version 0, in a file of its own, with lines for its sections.
fn site(head: &str, sections: &[(&'static str, &str)]) -> Site {
    let pipeline = Pipeline::new("orders", COMPONENT.into());
    let site = Site::with(head, &[sections.iter().fold(pipeline, |p, (name, lines)| p.with(name, lines))]);
    std::fs::write(component(&site), orders_version(0)).expect("the component is written");
    site
}

/// The same with another component, which is not there yet.
fn site_of(component: &str, sections: &[(&'static str, &str)]) -> Site {
    let pipeline = Pipeline::new("orders", component.into());
    Site::new(&[sections.iter().fold(pipeline, |p, (name, lines)| p.with(name, lines))])
}

fn component(site: &Site) -> PathBuf {
    site.path().join(COMPONENT)
}

/// Writes a file beside the component.
fn file(site: &Site, name: &str, bytes: &[u8]) -> PathBuf {
    let path = site.path().join(name);
    std::fs::write(&path, bytes).expect("the file is written");
    path
}

/// The file of a version, to be deployed.
fn version(site: &Site, number: u32) -> String {
    let name = format!("v{number}.wasm");
    file(site, &name, &orders_version(number));
    name
}

/// An order that is taken.
fn order(number: u64) -> String {
    format!("{{\"id\": {number}, \"customer\": \"c\", \"amount_cents\": 5}}")
}

/// The order's number and the version that took it, when a handler says so.
fn taken(line: &Line) -> Option<(u64, u32)> {
    let said = line.field("message").strip_prefix("order ")?;
    let (number, rest) = said.split_once(" of ")?;
    Some((number.parse().ok()?, rest.rsplit_once(" v")?.1.parse().ok()?))
}

/// Sends an order and waits for the version that takes it.
fn taken_by(site: &Site, log: &Log, number: u64) -> u32 {
    site.send_lines("orders", &[], &[order(number)]);
    let line = log.wait("the order is taken", |line| taken(line).is_some_and(|(n, _)| n == number));
    taken(&line).expect("it was found so").1
}

/// A command that must be refused with 1; what it said.
fn refused(site: &Site, words: &[&str]) -> String {
    let output = site.run(words);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
    said(&output)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `versions --json` says of the pipeline `orders`.
fn versions(site: &Site) -> Vec<Value> {
    let said = site.done(&["versions", "orders", "--json"]);
    let all: Value = serde_json::from_str(&said).expect("it is JSON");
    all["versions"].as_array().expect("a list").clone()
}

/// The digest of the version in use.
fn in_use(site: &Site) -> String {
    let all = versions(site);
    let one = all.iter().find(|version| version["state"] == "in use");
    one.expect("one is in use")["digest"].as_str().expect("a text").to_owned()
}

/// What `pelton inspect` calls a file.
fn digest(site: &Site, file: &Path) -> String {
    let said = site.done(&["inspect", file.to_str().expect("a plain name"), "--json"]);
    let all: Value = serde_json::from_str(&said).expect("it is JSON");
    all["digest"].as_str().expect("a text").to_owned()
}
