//! The other side of P7 that many write in JavaScript.

use super::Done;
use super::emulator::{Emulator, node};
use crate::args::Setup;
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

const CONSUMER: &str = include_str!("consume.mjs");

/// Reads the queue until the whole load is deleted, in a process of its own.
pub fn drain(setup: &Setup, emulator: &Emulator, queue_url: &str, load: Load) -> Result<Done> {
    let mut command = node(setup, CONSUMER);
    let said = command.arg(&emulator.address).arg(queue_url).arg(load.count.to_string()).output()?;
    ensure!(said.status.success(), "the consumer of npm: {}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout)?;
    let (seconds, numbers) = said.split_once('\n').context("the consumer says nothing")?;
    let delivered = numbers.lines().map(str::parse).collect::<Result<_, _>>()?;
    Ok((delivered, Duration::from_secs_f64(seconds.parse()?)))
}
