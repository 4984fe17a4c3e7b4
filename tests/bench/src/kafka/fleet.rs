//! P20: the ledger of a fleet, in PostgreSQL, against the ledger in the data directory.

use super::topic::Topic;
use crate::args::Setup;
use crate::emptied::{command, empties};
use crate::load::{Level, Load};
use crate::ours::NAME;
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::Result;

/// So many that a run takes seconds.
const RECORDS: u64 = 500_000;

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let (_dir, server) = crate::sql::server(setup)?;
    let topic = Topic::new(setup)?;
    let count = if setup.quick { RECORDS / 10 } else { RECORDS };
    topic.fill(Load { level: Level::None, first: 1, count })?;
    let [ours, theirs] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        let mut config = format!(
            "data_dir = \"data\"\n[pipelines.{NAME}.handler]\ncomponent = {:?}\n\
             [pipelines.{NAME}]\nsource = {}\n",
            setup.guest,
            topic.source()
        );
        if side == 0 {
            // One of its own for each run: what a ledger knows is not handled again.
            let url = server.database().url();
            config = format!(
                "{config}[pipelines.{NAME}.ledger]\ndatabase = \"bench\"\n[databases.bench]\nurl = {url:?}\n"
            );
            std::fs::write(dir.path().join("pelton.toml"), &config)?;
            command(setup, dir.path(), &["db", "init", "--database", "bench"])?;
        }
        Ok(count as f64 / empties(setup, dir.path(), &config, count)?.as_secs_f64())
    })?;
    Ok(vec![Row {
        id: "P20",
        what: "Kafka topic with its ledger in PostgreSQL, against in the data directory, no work"
            .to_owned(),
        unit: "messages/s",
        ours,
        theirs: Some(theirs),
        goal: Goal::Compare,
        void: None,
    }])
}
