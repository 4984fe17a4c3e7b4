//! The other side of P3: a consumer in Python that commits each record before the next.

use super::Done;
use super::topic::Topic;
use crate::args::Setup;
use crate::load::Load;
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Duration;

const CONSUMER: &str = include_str!("consume.py");

/// Reads the topic to the end of the load, in a process of its own.
pub fn drain(setup: &Setup, topic: &Topic, load: Load) -> Result<Done> {
    let mut command = Command::new(&setup.python);
    command.args(["-c", CONSUMER, &topic.broker.address, &topic.name(), &topic.group()]);
    let said = command.arg(load.count.to_string()).output().context("Python cannot be started")?;
    ensure!(said.status.success(), "the consumer in Python: {}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout)?;
    let (seconds, numbers) = said.split_once('\n').context("the consumer says nothing")?;
    let delivered = numbers.lines().map(str::parse).collect::<Result<_, _>>()?;
    Ok((delivered, Duration::from_secs_f64(seconds.parse()?)))
}
