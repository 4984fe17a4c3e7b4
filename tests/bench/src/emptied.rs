//! The real worker with one pipeline, from its start until what it reads is empty.

use crate::args::Setup;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the process lived. Every one of so many messages was handled, or this is an error.
pub fn empties(setup: &Setup, dir: &Path, config: &str, count: u64) -> Result<Duration> {
    std::fs::write(dir.join("pelton.toml"), config)?;
    let start = Instant::now();
    let said = command(setup, dir, &["run", "--until-empty"])?;
    let took = start.elapsed();
    ensure!(said.contains(&format!("\"handled\":{count},")), "not all of {count} were handled: {said}");
    Ok(took)
}

/// What a command says about the configuration in a folder.
pub fn command(setup: &Setup, dir: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new(&setup.pelton);
    // Compiled once for all runs.
    command.args(words).current_dir(dir).env("XDG_CACHE_HOME", setup.work_dir.join("cache"));
    let ended = command.stdin(Stdio::null()).output().context("the worker can be started")?;
    ensure!(ended.status.success(), "pelton {words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(String::from_utf8(ended.stdout)?)
}
