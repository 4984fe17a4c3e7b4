//! A worker in which something of one pipeline panics, at a point that the test names: this pipeline ends,
//! and nothing else.

use crate::site::{Pipeline, Site};
use crate::wait::until;
use crate::worker::Worker;
use rustix::process::Signal;
use serde_json::Value;

/// The pipeline that goes on.
pub const OTHER: &str = "others";

/// A neighbour, on a queue of its own.
#[must_use]
pub fn other(plugin: std::path::PathBuf) -> Pipeline {
    Pipeline::new(OTHER, plugin)
}

/// Waits until one pipeline has stopped, sees that its place is told by the log and by `status`, that the
/// other goes on, and that the worker ends with 70 once it is told to. `place` is in what is said; `send`
/// gives the other pipeline one order.
///
/// # Panics
/// When anything of it is not so.
pub fn ends_alone(worker: &Worker, site: &Site, env: &[(&str, &str)], place: &str, send: impl Fn(&str)) {
    let line =
        worker.log.wait("a pipeline ends", |line| line.says("this pipeline ends, and the others go on"));
    let stopped = line.field("pipeline").to_owned();
    assert!(line.says(place), "the line does not name {place}: {}", line.text);
    let status = || -> Value {
        let told = site
            .command(&["status", "--json"])
            .envs(env.iter().copied())
            .output()
            .expect("pelton can be started");
        serde_json::from_slice(&told.stdout).expect("the status is JSON")
    };
    let all = status()["pipelines"].clone();
    let why = all[&stopped]["stopped"].as_str().unwrap_or_default();
    assert!(why.contains(place), "{all}");
    assert_eq!(all[&stopped]["ready"], false, "{all}");
    let (name, other) = all
        .as_object()
        .and_then(|all| all.iter().find(|(name, _)| **name != stopped))
        .expect("there is another pipeline");
    assert_eq!((&other["stopped"], &other["ready"]), (&Value::Null, &Value::Bool(true)), "{all}");
    let handled = |all: &Value| all["pipelines"][name]["handled"].as_u64().unwrap_or(0);
    let before = handled(&status());
    send(name);
    until("the other pipeline goes on", || (handled(&status()) > before).then_some(()));
    worker.signal(Signal::TERM);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(70), "{ended:?}{}", worker.log.tail());
    let last = worker.log.lines().last().map(|line| line.text.clone()).unwrap_or_default();
    assert!(last.contains(&format!("pipeline {stopped} stopped: ")) && last.contains(place), "{last}");
}
