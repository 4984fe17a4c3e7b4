//! Which topic a number stands for. A name can be given again; an id, which brokers give with each new topic,
//! is never. What is known of one topic says nothing of another of its name.

use super::identity::encode;
use super::ranges::RangeKind;
use super::show::PARTITION_BITS;
use pelton_core::{Identity, Position};
use rusqlite::{Connection, OptionalExtension, params};
use std::ops::RangeInclusive;

/// What was known of a topic when its id was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicBefore {
    /// The id it had; none when nobody has told one yet.
    pub id: Option<String>,
    /// The consumer group that read it last.
    pub group: Option<String>,
}

impl TopicBefore {
    /// Whether it was another topic of that name.
    #[must_use]
    pub fn is_other_than(&self, id: &str) -> bool {
        self.id.as_deref().is_some_and(|before| before != id)
    }
}

/// The partitions of a topic, as positions name them.
pub fn partitions(number: u32) -> RangeInclusive<u32> {
    let first = number << PARTITION_BITS;
    first..=first | ((1 << PARTITION_BITS) - 1)
}

pub fn before(db: &Connection, pipeline: i64, number: u32) -> rusqlite::Result<TopicBefore> {
    let sql = "SELECT topic_id, group_id FROM topics WHERE pipeline = ?1 AND number = ?2";
    let row = |row: &rusqlite::Row<'_>| Ok(TopicBefore { id: row.get(0)?, group: row.get(1)? });
    Ok(db.prepare_cached(sql)?.query_row(params![pipeline, number], row).optional()?.unwrap_or_default())
}

pub fn remember(
    db: &Connection,
    pipeline: i64,
    number: u32,
    id: &str,
    group: Option<&str>,
) -> rusqlite::Result<()> {
    let sql = "UPDATE topics SET topic_id = ?3, group_id = ?4 WHERE pipeline = ?1 AND number = ?2";
    db.prepare_cached(sql)?.execute(params![pipeline, number, id, group]).map(drop)
}

/// Forgets what was completed and tried in a topic, and which of its records have letters: also of those
/// that are known by a key, since the new topic's records will have the same places.
pub fn forget(db: &Connection, pipeline: i64, number: u32) -> rusqlite::Result<()> {
    let partitions = partitions(number);
    let (first, last) = (*partitions.start(), *partitions.end());
    for kind in [RangeKind::Completed, RangeKind::Lettered] {
        let sql = "DELETE FROM ranges WHERE pipeline = ?1 AND partition BETWEEN ?2 AND ?3";
        db.prepare_cached(sql)?.execute(params![pipeline, kind.of(first), kind.of(last)])?;
    }
    let at = |partition, offset| encode(Identity::Position(Position { partition, offset }));
    let sql = "DELETE FROM attempts
               WHERE pipeline = ?1 AND (identity BETWEEN ?2 AND ?3 OR lettered IS NOT NULL)";
    db.prepare_cached(sql)?.execute(params![pipeline, at(first, 0), at(last, u64::MAX)]).map(drop)
}
