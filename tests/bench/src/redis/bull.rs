//! The other side of P6.

use super::Done;
use crate::args::Setup;
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use pelton_tests::redis::Redis;
use std::process::Command;
use std::time::Duration;

const WORKER: &str = include_str!("bull.mjs");

/// Adds the load as jobs, and works them off, in a process of its own.
pub fn drain(setup: &Setup, redis: &Redis, load: Load) -> Result<Done> {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", WORKER, &redis.address]).current_dir(&setup.node);
    let size = load.body(load.first).len();
    let said = command.args([load.first, load.count, size as u64].map(|n| n.to_string())).output()?;
    ensure!(said.status.success(), "BullMQ: {}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout)?;
    let (seconds, numbers) = said.split_once('\n').context("BullMQ says nothing")?;
    let delivered = numbers.lines().map(str::parse).collect::<Result<_, _>>()?;
    Ok((delivered, Duration::from_secs_f64(seconds.parse()?)))
}
