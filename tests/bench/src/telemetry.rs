//! P23: all of telemetry, against none: the real worker, which sends metrics each second and the spans of
//! some traces to a collector on this machine that takes what comes and looks at nothing.
//!
//! The collector is a part of this process, so it takes its time from the same processors.

use crate::args::Setup;
use crate::emptied::empties;
use crate::kafka::topic::Topic;
use crate::load::{Level, Load};
use crate::ours::{self, Dedup, NAME};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Result, ensure};
use pelton_tests::collector::{Collector, Mood};
use std::fmt::Write as _;
use std::path::Path;

/// So many that a run takes seconds.
const MESSAGES: u64 = 500_000;
/// Parts of the traces that are recorded, and what is left of the throughput then.
const RATIOS: [(f64, f64); 2] = [(0.001, 0.97), (0.1, 0.94)];

/// Where the messages are.
enum Place {
    Embedded,
    Kafka(Topic),
}

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let count = if setup.quick { MESSAGES / 10 } else { MESSAGES };
    let load = Load { level: Level::None, first: 1, count };
    let topic = Topic::new(setup)?;
    topic.fill(load)?;
    let mut rows = Vec::new();
    for place in [Place::Embedded, Place::Kafka(topic)] {
        for (ratio, least) in RATIOS {
            rows.push(row(setup, &place, load, (ratio, least))?);
        }
    }
    Ok(rows)
}

fn row(setup: &Setup, place: &Place, load: Load, (ratio, least): (f64, f64)) -> Result<Row> {
    let collector = Collector::start(Mood::Answers(200));
    let on = format!(
        "[telemetry]\notlp = {{ endpoint = {:?}, interval = \"1s\" }}\n\
         traces = {{ ratio = {ratio}, max_per_second = 100_000 }}\n",
        collector.endpoint
    );
    let [ours, theirs] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        let mut config = config(setup, place, dir.path(), load)?;
        config.push_str(if side == 0 { &on } else { "" });
        let before = collector.requests();
        let took = empties(setup, dir.path(), &config, load.count)?;
        let has_sent = collector.requests() > before;
        ensure!(has_sent == (side == 0), "the collector was sent something: {has_sent}");
        Ok(load.count as f64 / took.as_secs_f64())
    })?;
    let name = match place {
        Place::Embedded => "embedded queue",
        Place::Kafka(_) => "Kafka topic",
    };
    let what = format!("{name}, metrics and {} % of the traces sent, against no telemetry", ratio * 100.0);
    let goal = Goal::Ratio(least);
    Ok(Row { id: "P23", what, unit: "messages/s", ours, theirs: Some(theirs), goal, void: None })
}

/// A worker with the load before it.
fn config(setup: &Setup, place: &Place, dir: &Path, load: Load) -> Result<String> {
    let mut config = format!(
        "data_dir = \"data\"\n[pipelines.{NAME}.handler]\ncomponent = {:?}\n[pipelines.{NAME}]\n",
        setup.guest
    );
    match place {
        Place::Embedded => ours::fill(&dir.join("data"), load, Dedup::MessageId)?,
        Place::Kafka(topic) => writeln!(config, "source = {}", topic.source())?,
    }
    Ok(config)
}
