//! Fault 27: a worker that may have 256 MiB, messages of 64 KiB, a slow handler.

use crate::memory::{Limit, peak};
use crate::site::Site;
use crate::wait::until;
use crate::worker::Worker;
use serde_json::Value;

/// What the worker may have.
const LIMIT: u64 = 256 << 20;

/// A message of 64 KiB that its handler takes long for.
#[must_use]
pub fn heavy() -> String {
    format!("{{\"do\": \"sleep\", \"pad\": \"{}\"}}", "x".repeat((64 << 10) - 32))
}

/// Starts a worker under the limit, where this system has one for us, and lets it work until `dead`
/// messages are given up on; it must not have been killed, and have stayed within the limit. `env` is for
/// the commands too.
///
/// # Panics
/// When it is not so.
pub fn works_within(site: &Site, pipeline: &str, env: &[(&str, &str)], dead: u64) {
    let limit = Limit::of(LIMIT);
    let mut command = site.command(&["run", "--log-format", "json"]);
    command.envs(env.iter().copied());
    let worker = match &limit {
        Some(limit) => Worker::start(&mut limit.around(&command)),
        None => {
            eprintln!("no control group can be made here: what is resident is looked at instead");
            Worker::start(&mut command)
        }
    };
    let dead_now = || {
        let told = site
            .command(&["status", "--json"])
            .envs(env.iter().copied())
            .output()
            .expect("pelton can be started");
        let all: Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
        all["pipelines"][pipeline]["dead_letters"].as_u64().unwrap_or(0)
    };
    until("some have been given up on", || {
        assert!(peak(worker.pid).is_some(), "the worker is gone:{}", worker.log.tail());
        (dead_now() >= dead).then_some(())
    });
    let peak = peak(worker.pid).expect("the worker runs");
    worker.stop();
    println!("{pipeline}: at most {} MiB were resident", peak >> 10);
    // A file that is mapped counts as resident, and not against the limit: 302 MB of a program with all its
    // names.
    assert!(limit.is_some() || peak << 10 < 2 * LIMIT, "{peak} KiB");
}
