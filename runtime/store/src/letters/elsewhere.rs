//! Letters that a broker keeps and cannot remove one by one: which of them are done with.
//!
//! Kept as ranges of positions, as completed messages are, under the number of the letters' topic.

use crate::ledger::ranges::{self, RangeKind, Ranges};
use crate::ledger::show::PARTITION_BITS;
use crate::ledger::topics;
use crate::numbers::unsigned;
use crate::{Store, StoreError};
use pelton_core::broker;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// The letters of one topic that were replayed or purged, by partition.
#[derive(Debug, Clone, Default)]
pub struct DoneLetters(BTreeMap<u32, Ranges>);

impl broker::DoneLetters for DoneLetters {
    fn contains(&self, partition: u32, offset: u64) -> bool {
        self.0.get(&partition).is_some_and(|ranges| ranges.contains(offset))
    }

    fn count(&self, partition: u32, first: u64, end: u64) -> u64 {
        self.0.get(&partition).map_or(0, |ranges| ranges.count(first, end))
    }

    fn last(&self, partition: u32) -> Option<u64> {
        self.0.get(&partition)?.last()
    }
}

impl Store {
    /// Which letters in a topic are done with, as far as this data directory knows. Blocks.
    pub fn letters_done(&self, pipeline: &str, topic: &str) -> Result<DoneLetters, StoreError> {
        let sql = "SELECT p.id, t.number FROM pipelines p JOIN topics t ON t.pipeline = p.id
                   WHERE p.name = ?1 AND t.name = ?2";
        let db = self.db();
        let known = db.query_row(sql, [pipeline, topic], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
        Ok(known.map(|(id, number)| read(&db, id, number)).transpose()?.unwrap_or_default())
    }

    /// Notes letters of a topic, by partition and offset, as done with. On disk when it returns. Blocks.
    pub fn letters_end(
        &self,
        pipeline: &str,
        topic: &str,
        places: &[(u32, u64)],
    ) -> Result<(), StoreError> {
        let number = self.topic_number(pipeline, topic)?;
        let id = self.pipeline_id(pipeline)?.unwrap_or_default();
        let db = self.db();
        self.write(&db, |db| {
            // Read in the transaction: another command may end letters at the same time.
            let mut done = read(db, id, number)?;
            for (partition, offset) in places {
                let merged = done.0.entry(*partition).or_default().add(*offset, *offset);
                ranges::write(db, id, key(number, *partition), merged)?;
            }
            Ok(())
        })
    }

    /// Tells which topic of letters a name stands for now; whether it was another. Then what was done with
    /// in that is forgotten. Blocks.
    pub fn letters_topic_is(&self, pipeline: &str, topic: &str, id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT t.topic_id FROM pipelines p JOIN topics t ON t.pipeline = p.id
                   WHERE p.name = ?1 AND t.name = ?2";
        let known: Option<Option<String>> =
            self.db().query_row(sql, [pipeline, topic], |row| row.get(0)).optional()?;
        if known.flatten().as_deref() == Some(id) {
            return Ok(false);
        }
        let number = self.topic_number(pipeline, topic)?;
        let pipeline = self.pipeline_id(pipeline)?.unwrap_or_default();
        let db = self.db();
        let known = topics::before(&db, pipeline, number)?;
        let (from, to) = (key(number, 0), key(number, 0) | ((1 << PARTITION_BITS) - 1));
        self.write(&db, |db| {
            if known.is_other_than(id) {
                let sql = "DELETE FROM ranges WHERE pipeline = ?1 AND partition BETWEEN ?2 AND ?3";
                db.execute(sql, params![pipeline, from, to])?;
            }
            topics::remember(db, pipeline, number, id, None)?;
            Ok(known.is_other_than(id))
        })
    }

    /// Forgets what is done with in one partition of a topic: it was made anew. Blocks.
    pub fn letters_anew(&self, pipeline: &str, topic: &str, partition: u32) -> Result<(), StoreError> {
        let number = self.topic_number(pipeline, topic)?;
        let id = self.pipeline_id(pipeline)?;
        let db = self.db();
        let sql = "DELETE FROM ranges WHERE pipeline = ?1 AND partition = ?2";
        self.write(&db, |db| {
            db.execute(sql, params![id, key(number, partition)])?;
            Ok(())
        })
    }
}

fn key(topic: u32, partition: u32) -> i64 {
    RangeKind::DoneLetters.of(topic << PARTITION_BITS | partition)
}

fn read(db: &Connection, pipeline: i64, number: u32) -> rusqlite::Result<DoneLetters> {
    let sql = "SELECT partition, first, last FROM ranges
               WHERE pipeline = ?1 AND partition BETWEEN ?2 AND ?3 ORDER BY partition, first";
    let from = key(number, 0);
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![pipeline, from, from | ((1 << PARTITION_BITS) - 1)])?;
    let mut done = DoneLetters::default();
    while let Some(row) = rows.next()? {
        let (partition, first, last): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // Within its bits, as the question has it.
        let number = u32::try_from(partition - from).unwrap_or(u32::MAX);
        done.0.entry(number).or_default().add(unsigned(first), unsigned(last));
    }
    Ok(done)
}
