//! P17: state, one key counted for each message, against a loop that does the same in the transaction that
//! removes the message. P18: one message sent for each, against the same without.
//!
//! The handler is native, so that what is measured is the engine and the store.

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load, number};
use crate::ours::{self, Dedup, NAME, Ours};
use crate::plain;
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Result, ensure};
use pelton_core::Outcome;
use pelton_core::effects::{
    Bucket, Effects, Seen, Staged, StagedMessage, StateEntry, StateHome, Target, Value, Write,
};
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use pelton_core::retry::scatter;
use pelton_store::{Options, Store, Where};
use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::Arc;

/// Keys that there are, all of them from the beginning on.
const KEYS: u64 = 200_000;
/// Bytes of a value: a number, and what is kept with it.
const VALUE: usize = 100;
/// Keys that are set in one transaction.
const SET_AT_ONCE: usize = 10_000;
/// Where messages go.
const TARGET: &str = "receipts";

/// A native handler that stages something for each message.
struct Staging(Option<Stages>);

/// What it stages; cheap to clone.
#[derive(Clone)]
enum Stages {
    /// One key is read, and set.
    Count(Arc<dyn StateHome>, Bucket),
    /// One message is sent, with the body of what is handled.
    Send(Target),
}

impl Stages {
    async fn of(&self, work: &Work) -> Option<Effects> {
        let mut effects = Effects::default();
        match self {
            Self::Count(home, bucket) => {
                let (bucket, key) = (*bucket, key(number(work.message.body())));
                let read = home.read(bucket, std::slice::from_ref(&key)).await.ok()?;
                let [Value { bytes: Some(before), stamp }] = &*read else { return None };
                effects.reads.push(Seen { bucket, key: key.clone(), stamp: *stamp });
                let value = Some(value(counted(before) + 1));
                effects.writes.push(Write { bucket, key, value, stamp: home.stamp() });
                effects.show_by(&**home);
            }
            Self::Send(target) => effects.messages.push(StagedMessage {
                target: *target,
                id: work.idempotency_key().to_string().into(),
                topic: None,
                key: None,
                headers: Vec::new(),
                body: work.message.body().to_vec(),
                delay_ms: None,
            }),
        }
        Some(effects)
    }
}

impl Handler for Staging {
    fn digest(&self) -> Arc<str> {
        "native".into()
    }

    fn max_chunk(&self) -> usize {
        256
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let (digest, stages) = (self.digest(), self.0.clone());
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(work.len());
            for (place, work) in work.iter().enumerate() {
                let outcome = match &stages {
                    None => Outcome::Ok(None),
                    // What was not staged is a failed attempt, and voids the row.
                    Some(stages) => match stages.of(work).await {
                        Some(effects) => Outcome::Ok(Staged::of(effects, 1)),
                        None => Outcome::Retry { reason: "state".to_owned(), after_ms: None },
                    },
                };
                outcomes.push((place, outcome));
            }
            report(&digest, outcomes);
        })
    }

    fn interrupt(&self) {}
}

/// The key of a message: any of them.
fn key(number: u64) -> Vec<u8> {
    format!("customer-{:06}", scatter(number, 2) % KEYS).into_bytes()
}

fn value(count: u64) -> Vec<u8> {
    format!("{count:020}{:1$}", "", VALUE - 20).into_bytes()
}

fn counted(value: &[u8]) -> u64 {
    let digits = std::str::from_utf8(&value[..20]).unwrap_or_default();
    digits.parse().unwrap_or(u64::MAX / 2)
}

fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..KEYS).map(|number| format!("customer-{number:06}").into_bytes())
}

fn load(setup: &Setup) -> Load {
    Load { level: Level::None, first: 1, count: Level::None.messages(setup.quick) }
}

pub fn state(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::of(Arc::new(Staging(None)), 4)?;
    let load = load(setup);
    // The sums of the keys are the books: what met a conflict was handled twice, and is counted once.
    let [a, b] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        let took = match side {
            0 => count_ours(&ours, dir.path(), load)?,
            _ => count_plainly(&dir.path().join("plain.db"), load)?,
        };
        Ok(load.count as f64 / took)
    })?;
    Ok(vec![Row {
        id: "P17",
        what: format!("state: one of {KEYS} keys read and set, against a rusqlite loop"),
        unit: "messages/s",
        ours: a,
        theirs: Some(b),
        goal: Goal::Ratio(0.7),
        void: None,
    }])
}

fn count_ours(ours: &Ours, dir: &Path, load: Load) -> Result<f64> {
    ours::fill(dir, load, Dedup::MessageId)?;
    let store = Store::open_owner(dir, Options::default())?;
    let bucket = store.bucket(NAME, "default", false)?;
    let all: Vec<StateEntry> = keys().map(|key| StateEntry { key, value: value(0) }).collect();
    for some in all.chunks(SET_AT_ONCE) {
        store.state_set(bucket, some)?;
    }
    store.close();
    drop(store);
    let drained = ours.drain_with(dir, load, |store| {
        Ok(Arc::new(Staging(Some(Stages::Count(store.state_home()?, bucket)))))
    })?;
    let store = Store::open_beside(dir, Options::default())?;
    let (mut sum, mut last) = (0, None);
    loop {
        let page = store.state_entries(bucket, last.as_deref(), SET_AT_ONCE)?;
        let Some(end) = page.last() else { break };
        sum += page.iter().map(|entry| counted(&entry.value)).sum::<u64>();
        last = Some(end.key.clone());
    }
    ensure!(sum == load.count, "{sum} were counted");
    Ok(drained.took.as_secs_f64())
}

fn count_plainly(file: &Path, load: Load) -> Result<f64> {
    plain::fill(file, load)?;
    let mut db = Connection::open(file)?;
    db.execute_batch(
        "CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;",
    )?;
    let transaction = db.transaction()?;
    for key in keys() {
        transaction.prepare_cached("INSERT INTO state VALUES (?1, ?2)")?.execute(params![key, value(0)])?;
    }
    transaction.commit()?;
    let (_, took) = plain::drain_with(file, |db, number| {
        let key = key(number);
        let read = "SELECT value FROM state WHERE key = ?1";
        let before: Vec<u8> = db.prepare_cached(read)?.query_row([&key], |row| row.get(0))?;
        let write = "UPDATE state SET value = ?2 WHERE key = ?1";
        db.prepare_cached(write)?.execute(params![key, value(counted(&before) + 1)]).map(drop)
    })?;
    let mut sum = 0;
    let mut all = db.prepare("SELECT value FROM state")?;
    for before in all.query_map([], |row| row.get::<_, Vec<u8>>(0))? {
        sum += counted(&before?);
    }
    ensure!(sum == load.count, "{sum} were counted by the loop");
    Ok(took.as_secs_f64())
}

pub fn outbox(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::of(Arc::new(Staging(None)), 4)?;
    let load = load(setup);
    let mut void = None;
    let [a, b] = alternate(setup.runs, |side| {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        ours::fill(dir.path(), load, Dedup::MessageId)?;
        let drained = ours.drain_with(dir.path(), load, |store| {
            let target = store.target(NAME, TARGET, Where::Queue(TARGET))?;
            Ok(Arc::new(Staging((side == 0).then_some(Stages::Send(target)))))
        })?;
        let store = Store::open_beside(dir.path(), Options::default())?;
        let sent = store.status(TARGET, Some(TARGET), None)?.queued;
        ensure!(sent == if side == 0 { load.count } else { 0 }, "{sent} were sent");
        void = void.take().or_else(|| Set::differs(load.produced(), drained.delivered));
        Ok(load.count as f64 / drained.took.as_secs_f64())
    })?;
    Ok(vec![Row {
        id: "P18",
        what: "outbox: one message to an embedded queue for each, against none".to_owned(),
        unit: "messages/s",
        ours: a,
        theirs: Some(b),
        goal: Goal::Ratio(0.5),
        void,
    }])
}
