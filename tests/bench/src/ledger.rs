//! P15: a ledger of ten million rows against an empty one, with a key in a header: keys of any kind, and such as tell
//! when they were made.

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::{self, Dedup, NAME, Ours, UUIDS_FROM_MS};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Context, Result};
use pelton_store::{Options, PipelineOptions, Store, SystemClock, WallClock};
use rusqlite::{Connection, params};
use std::fs;
use std::path::{Path, PathBuf};

const DATABASE: &str = "pelton.db";

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    Ok(vec![row(setup, &ours, Dedup::Header, "")?, row(setup, &ours, Dedup::Uuid, ", UUIDs of version 7")?])
}

fn row(setup: &Setup, ours: &Ours, dedup: Dedup, which: &str) -> Result<Row> {
    let entries: u64 = if setup.quick { 1_000_000 } else { 10_000_000 };
    // The runs add to a copy, so that the next measurement starts with the same file.
    let large = tempfile::tempdir_in(&setup.work_dir)?;
    fs::copy(filled(&setup.work_dir, entries, dedup)?, large.path().join(DATABASE))?;
    let count = if setup.quick { 20_000 } else { 100_000 };
    let (mut void, mut first) = (None, 1);
    let [a, b] = alternate(setup.runs, |side| {
        let load = Load { level: Level::None, first, count };
        first += count;
        let empty = tempfile::tempdir_in(&setup.work_dir)?;
        let dir = if side == 0 { large.path() } else { empty.path() };
        ours::fill(dir, load, dedup)?;
        let drained = ours.drain(dir, load, dedup)?;
        void = void.take().or_else(|| Set::differs(load.produced(), drained.delivered));
        Ok(count as f64 / drained.took.as_secs_f64())
    })?;
    Ok(Row {
        id: "P15",
        what: format!("a ledger of {} million rows against an empty one{which}", entries / 1_000_000),
        unit: "messages/s",
        ours: a,
        theirs: Some(b),
        goal: Goal::Ratio(0.8),
        void,
    })
}

/// A database whose ledger has so many completed keys, kept between measurements.
fn filled(work_dir: &Path, entries: u64, dedup: Dedup) -> Result<PathBuf> {
    let kind = if dedup == Dedup::Uuid { "-uuid" } else { "" };
    let kept = work_dir.join(format!("ledger-{entries}{kind}-{}.db", env!("CARGO_PKG_VERSION")));
    if kept.exists() {
        return Ok(kept);
    }
    eprintln!("filling a ledger with {entries} rows, once");
    let dir = tempfile::tempdir_in(work_dir)?;
    let store = Store::open_owner(dir.path(), Options::default())?;
    store.pipeline(
        NAME,
        PipelineOptions {
            dedup: true,
            expires_after_ms: u64::MAX >> 1,
            dead_letter_queue: None,
            handler_digest: "sha256:none".into(),
        },
    )?;
    store.close();
    drop(store);
    let made = dir.path().join(DATABASE);
    insert(&made, entries, dedup)?;
    fs::rename(&made, &kept).with_context(|| format!("{} cannot be kept", kept.display()))?;
    Ok(kept)
}

/// Random keys in random order, as digests come, or in that of their time: the index gets the shape it would have.
fn insert(file: &Path, entries: u64, dedup: Dedup) -> Result<()> {
    let db = Connection::open(file)?;
    db.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000;",
    )?;
    let now = SystemClock.now_ms();
    let key = match dedup {
        Dedup::Uuid => format!("unhex(printf('%012x', {UUIDS_FROM_MS} - ?1 + i) || hex(randomblob(10)))"),
        _ => "randomblob(16)".to_owned(),
    };
    let sql = format!(
        "INSERT INTO entries (pipeline, key, completed_at)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         SELECT (SELECT id FROM pipelines WHERE name = ?2), {key}, ?3 FROM n"
    );
    db.execute(&sql, params![i64::try_from(entries)?, NAME, i64::try_from(now)?])?;
    Ok(())
}
