//! The other side of P1 and P2: what a careful programmer writes with the same client library.
//!
//! One loop, one thread: poll, call the function, commit the offsets every 100 ms without waiting for
//! the answer. With a ledger it does what ours promises: that a batch was started survives the process,
//! and what was handled is on disk before its offset is committed.

use super::Done;
use super::topic::Topic;
use crate::args::Setup;
use crate::book::Set;
use crate::load::{Load, number};
use crate::work;
use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two commits to the broker.
const COMMIT: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(100);
/// Records that the ledger is told of at once, as many as are in one of our chunks.
const BATCH: usize = 256;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE positions (
        partition INTEGER PRIMARY KEY,
        started INTEGER NOT NULL,
        completed INTEGER NOT NULL
    ) STRICT;";

/// What is written down of what was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ledger {
    /// Nothing but the offsets at the broker.
    None,
    /// A row for each partition: started up to here, not synced; completed up to here, synced.
    Synced,
}

/// Reads the topic to the end of the load.
pub fn drain(setup: &Setup, topic: &Topic, load: Load, ledger: Ledger) -> Result<Done> {
    let dir = tempfile::tempdir_in(&setup.work_dir)?;
    let db = (ledger == Ledger::Synced).then(|| open(dir.path())).transpose()?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &topic.broker.address)
        .set("group.id", topic.group())
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .create()?;
    consumer.subscribe(&[&topic.name()])?;
    let mut run = Run { name: topic.name(), db, next: BTreeMap::new(), delivered: Set::default() };
    let (mut began, mut committed) = (None, Instant::now());
    let mut left = load.count;
    while left > 0 {
        let batch = receive(&consumer, left)?;
        began.get_or_insert_with(Instant::now);
        left -= batch.len() as u64;
        run.handle(&batch)?;
        if committed.elapsed() >= COMMIT {
            committed = Instant::now();
            run.commit(&consumer, CommitMode::Async)?;
        }
    }
    run.commit(&consumer, CommitMode::Sync)?;
    Ok((run.delivered, began.context("nothing was received")?.elapsed()))
}

/// What is there, up to a batch; at least one.
fn receive(consumer: &BaseConsumer, most: u64) -> Result<Vec<BorrowedMessage<'_>>> {
    let mut batch = Vec::with_capacity(BATCH);
    while (batch.len() as u64) < most.min(BATCH as u64) {
        let patience = if batch.is_empty() { POLL } else { Duration::ZERO };
        match consumer.poll(patience) {
            Some(record) => batch.push(record?),
            None if batch.is_empty() => {}
            None => break,
        }
    }
    Ok(batch)
}

struct Run {
    name: String,
    db: Option<Connection>,
    /// The next offset of each partition.
    next: BTreeMap<i32, i64>,
    delivered: Set,
}

impl Run {
    fn handle(&mut self, batch: &[BorrowedMessage<'_>]) -> Result<()> {
        let mut next = self.next.clone();
        next.extend(batch.iter().map(|record| (record.partition(), record.offset() + 1)));
        self.note("NORMAL", "started", &next)?;
        for record in batch {
            let body = record.payload().unwrap_or_default();
            std::hint::black_box(work::run(body));
            self.delivered.add(number(body));
        }
        self.note("FULL", "completed", &next)?;
        self.next = next;
        Ok(())
    }

    /// Writes how far each partition has come.
    fn note(&self, synchronous: &str, column: &str, next: &BTreeMap<i32, i64>) -> Result<()> {
        let Some(db) = &self.db else { return Ok(()) };
        db.pragma_update(None, "synchronous", synchronous)?;
        let transaction = db.unchecked_transaction()?;
        let sql = format!(
            "INSERT INTO positions (partition, started, completed) VALUES (?1, ?2, 0)
             ON CONFLICT DO UPDATE SET {column} = excluded.started"
        );
        for (partition, offset) in next {
            transaction.prepare_cached(&sql)?.execute(params![partition, offset])?;
        }
        Ok(transaction.commit()?)
    }

    fn commit(&self, consumer: &BaseConsumer, mode: CommitMode) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &self.next {
            list.add_partition_offset(&self.name, *partition, Offset::Offset(*offset))?;
        }
        Ok(consumer.commit(&list, mode)?)
    }
}

fn open(dir: &Path) -> Result<Connection> {
    let db = Connection::open(dir.join("ledger.db"))?;
    db.execute_batch(SCHEMA)?;
    Ok(db)
}
