//! P19: SQL in the transaction that completes a message, against native loops of as many connections, on one
//! PostgreSQL; with nothing between them, and with 5 ms.
//!
//! Both sides are timed by the rows that they write: from the first to the last one, by the database's clock.

mod native;
mod ours;

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Context, Result};
use native::Loop;
use ours::Handling;
use pelton_tests::postgres::{Db, Postgres, Setup as ServerSetup};
use pelton_tests::proxy::Proxy;
use std::time::Duration;
use tempfile::TempDir;

/// What is written. Made anew for each run.
const TABLES: &str = "
    DROP TABLE IF EXISTS bench, bench_processed;
    CREATE TABLE bench (id bigint, body text, at timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE TABLE bench_processed (key uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())";

/// One row of the table.
struct Case {
    what: &'static str,
    ours: Handling,
    theirs: Loop,
    connections: usize,
    /// Each way, between both sides and the database.
    delay: Duration,
    count: u64,
    goal: Goal,
}

const NEAR: Duration = Duration::ZERO;
const FAR: Duration = Duration::from_micros(2_500);

const CASES: [Case; 7] = [
    Case {
        what: "SQL: a row for each message, 16 connections, against inserts alone",
        ours: Handling::Message,
        theirs: Loop::Insert,
        connections: 16,
        delay: NEAR,
        count: 30_000,
        goal: Goal::Ratio(0.6),
    },
    Case {
        what: "SQL: the same, against transactions with a row of a ledger",
        ours: Handling::Message,
        theirs: Loop::WithLedger,
        connections: 16,
        delay: NEAR,
        count: 30_000,
        goal: Goal::Ratio(0.9),
    },
    Case {
        what: "SQL: transactions of a chunk, staged, 4 connections, against inserts of 32 rows",
        ours: Handling::Chunk,
        theirs: Loop::Rows(32),
        connections: 4,
        delay: NEAR,
        count: 100_000,
        goal: Goal::Ratio(0.6),
    },
    Case {
        what: "SQL: a batch handler, 4 connections, against inserts of 256 rows",
        ours: Handling::Batch,
        theirs: Loop::Rows(256),
        connections: 4,
        delay: NEAR,
        count: 200_000,
        goal: Goal::Ratio(0.6),
    },
    Case {
        what: "SQL, 5 ms away: a row for each message, 16 connections, against inserts alone",
        ours: Handling::Message,
        theirs: Loop::Insert,
        connections: 16,
        delay: FAR,
        count: 10_000,
        goal: Goal::Compare,
    },
    Case {
        what: "SQL, 5 ms away: the same, against transactions with a row of a ledger",
        ours: Handling::Message,
        theirs: Loop::WithLedger,
        connections: 16,
        delay: FAR,
        count: 10_000,
        goal: Goal::Ratio(0.9),
    },
    Case {
        what: "SQL, 5 ms away: a batch handler, 4 connections, against inserts of 256 rows",
        ours: Handling::Batch,
        theirs: Loop::Rows(256),
        connections: 4,
        delay: FAR,
        count: 100_000,
        goal: Goal::Compare,
    },
];

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let (_dir, server) = server(setup)?;
    CASES.iter().map(|case| row(setup, &server, case)).collect()
}

/// A server in a folder of its own, which has to outlive it.
pub fn server(setup: &Setup) -> Result<(TempDir, Postgres)> {
    let dir = tempfile::tempdir_in(&setup.work_dir)?;
    let options = "-c max_connections=100 -c shared_buffers=512MB -c max_wal_size=4GB".to_owned();
    let server = ServerSetup { options, data: Some(dir.path().join("server")), ..ServerSetup::default() };
    Ok((dir, Postgres::start_with(server)))
}

fn row(setup: &Setup, server: &Postgres, case: &Case) -> Result<Row> {
    let proxy = Proxy::plain(&server.address);
    proxy.delay(case.delay);
    let near = server.database();
    let db = if case.delay.is_zero() { near.clone() } else { near.by(&proxy.address) };
    let count = if setup.quick { case.count / 10 } else { case.count };
    // The letter of the others tells the handler to wait for nothing.
    let level = if case.ours == Handling::Chunk { Level::Hash } else { Level::None };
    let load = Load { level, first: 1, count };
    let mut void = None;
    let [a, b] = alternate(setup.runs, |side| {
        near.run(TABLES);
        match side {
            0 => ours::run(setup, &db, case.ours, case.connections, load)?,
            _ => native::run(&db, case.theirs, case.connections, load)?,
        }
        let (written, took) = written(&near)?;
        void = void.take().or_else(|| Set::differs(load.produced(), written));
        Ok(count as f64 / took)
    })?;
    let what = case.what.to_owned();
    Ok(Row { id: "P19", what, unit: "messages/s", ours: a, theirs: Some(b), goal: case.goal, void })
}

/// What is in the table, and the seconds from its first row to its last.
fn written(db: &Db) -> Result<(Set, f64)> {
    let session = db.session();
    let numbers = session.rows("SELECT id FROM bench");
    let number = |row: Vec<Option<String>>| row.into_iter().next()??.parse::<u64>().ok();
    let set = numbers.into_iter().filter_map(number).collect();
    let took = session.text("SELECT extract(epoch FROM max(at) - min(at)) FROM bench");
    Ok((set, took.parse().with_context(|| took.clone())?))
}
