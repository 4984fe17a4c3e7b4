//! P14: one hot key among ten thousand, by key against by partition.

use super::topic::Topic;
use super::{compare, ours};
use crate::args::Setup;
use crate::load::{Level, Load};
use crate::ours::Ours;
use crate::report::{Goal, Row};
use anyhow::Result;
use pelton_host::HandlerSpec;
use pelton_kafka::Order;

/// Chunks at once, on both sides: handlers that wait for another service leave the processor free.
const CONCURRENCY: usize = 64;

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let spec = HandlerSpec { concurrency: CONCURRENCY, ..HandlerSpec::default() };
    let ours = Ours::with(&setup.guest, spec)?;
    let topic = Topic::new(setup)?;
    let count = Level::Wait.messages(setup.quick);
    let load = topic.fill_skewed(Load { level: Level::Wait, first: 1, count })?;
    let what = "order by key against order by partition, one hot key, 5 ms of waiting".to_owned();
    let row = compare(setup, "P14", what, load, Goal::Ratio(10.0), |side| {
        ours::drain(setup, &topic, &ours, load, if side == 0 { Order::Key } else { Order::Partition })
    })?;
    Ok(vec![row])
}
