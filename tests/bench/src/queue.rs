//! P8: the embedded queue with the whole engine, against a plain loop.

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::{self, Dedup, Ours};
use crate::plain;
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::Result;

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    Level::ALL.into_iter().map(|level| row(setup, &ours, level)).collect()
}

fn row(setup: &Setup, ours: &Ours, level: Level) -> Result<Row> {
    let load = Load { level, first: 1, count: level.messages(setup.quick) };
    let mut void = None;
    let [a, b] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        let (delivered, took) = if side == 0 {
            ours::fill(dir.path(), load, Dedup::MessageId)?;
            let drained = ours.drain(dir.path(), load, Dedup::MessageId)?;
            (drained.delivered, drained.took)
        } else {
            let file = dir.path().join("plain.db");
            plain::fill(&file, load)?;
            plain::drain(&file)?
        };
        void = void.take().or_else(|| Set::differs(load.produced(), delivered));
        Ok(load.count as f64 / took.as_secs_f64())
    })?;
    Ok(Row {
        id: "P8",
        what: format!("embedded queue against a rusqlite loop, {}", level.words()),
        unit: "messages/s",
        ours: a,
        theirs: Some(b),
        goal: if level == Level::None { Goal::Ratio(0.9) } else { Goal::Compare },
        void,
    })
}
