//! P15: a ledger of ten million rows against an empty one, with a key in a header: keys of any kind, and
//! such as tell when they were made.

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::{self, Dedup, NAME, Ours, UUIDS_FROM_MS};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Context, Result, anyhow, bail};
use pelton_core::ports::{ClaimItem, Completion, Ledger, Verdict};
use pelton_core::{Identity, Message};
use pelton_store::{Options, PipelineStore, Store, ledger_key};
use std::fs;
use std::path::{Path, PathBuf};

const DATABASE: &str = "pelton.db";
/// Keys that are completed at once while a ledger is filled.
const BATCH: usize = 1_000;

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
    let kept = work_dir.join(format!("segments-{entries}{kind}-{}.db", env!("CARGO_PKG_VERSION")));
    if kept.exists() {
        return Ok(kept);
    }
    eprintln!("filling a ledger with {entries} keys, once");
    let dir = tempfile::tempdir_in(work_dir)?;
    let store = Store::open_owner(dir.path(), Options::default())?;
    let ledger = store.pipeline(NAME, ours::options("sha256:none".into())?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for first in (0..entries).step_by(BATCH) {
        let keys = (first..first + BATCH as u64).map(|n| key(n, entries, dedup));
        runtime.block_on(complete(&ledger, keys.collect()))?;
    }
    store.close();
    drop((ledger, store));
    fs::rename(dir.path().join(DATABASE), &kept)
        .with_context(|| format!("{} cannot be kept", kept.display()))?;
    Ok(kept)
}

/// As digests come, or in the order of its time.
fn key(number: u64, entries: u64, dedup: Dedup) -> [u8; 16] {
    if dedup != Dedup::Uuid {
        return ledger_key(format!("filled-{number}").as_bytes());
    }
    let ms = UUIDS_FROM_MS - entries + number;
    let (high, low) = (ms >> 16, ms & 0xffff);
    ledger_key(format!("{high:08x}-{low:04x}-7abc-8def-{number:012x}").as_bytes())
}

/// As a worker completes them, so that the ledger has the shape it would have.
async fn complete(ledger: &PipelineStore, keys: Vec<[u8; 16]>) -> Result<()> {
    let message = Message::default();
    let item = |key| ClaimItem {
        identity: Identity::Key(key),
        message: message.clone(),
        attempts: 0,
        scope: None,
    };
    let claimed = ledger.claim(keys.iter().copied().map(item).collect(), false).await;
    let verdicts = claimed.map_err(|class| anyhow!("nothing can be claimed: {class:?}"))?;
    let mut batch = Vec::with_capacity(keys.len());
    for (verdict, key) in verdicts.into_iter().zip(keys) {
        let Verdict::Fresh { claim, .. } = verdict else { bail!("a key was there before: {verdict:?}") };
        batch.push(Completion {
            claim,
            identity: Identity::Key(key),
            skipped: 0,
            settle: None,
            effects: None,
            after: None,
        });
    }
    let failed = ledger.complete(batch).await.into_iter().find_map(Result::err);
    failed.map_or(Ok(()), |class| Err(anyhow!("nothing can be completed: {class:?}")))
}
