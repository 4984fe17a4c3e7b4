//! Completed positions of one partition, as ranges that merge.

use crate::numbers::signed;
use pelton_core::Position;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// Disjoint, non-adjacent ranges: first to last, both included.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

/// What a table of ranges needs to follow: this range is there, and no other within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    pub first: u64,
    pub last: u64,
}

/// Letters that go at once.
const LETTERS_AT_ONCE: i64 = 1_000;

/// What the ranges of a partition in the table are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeKind {
    /// Completed messages, and those that have a letter somewhere else.
    Completed,
    /// Those that have a letter somewhere else: a range each.
    Lettered,
    /// Letters in a topic, which it cannot remove, that are done with.
    DoneLetters,
}

impl RangeKind {
    /// The number of a partition's ranges of this kind in the table.
    pub fn of(self, partition: u32) -> i64 {
        let kind: i64 = match self {
            Self::Completed => 0,
            Self::Lettered => 1,
            Self::DoneLetters => 2,
        };
        kind << 32 | i64::from(partition)
    }
}

/// Writes a range, in the place of those within it: also of those that memory does not know, since
/// another process may have split a range to forget an offset, and ranges must never overlap.
pub fn write(db: &Connection, pipeline: i64, partition: i64, range: Merged) -> rusqlite::Result<()> {
    clear(db, pipeline, partition, range.first, range.last)?;
    let sql = "INSERT INTO ranges(pipeline, partition, first, last) VALUES (?1, ?2, ?3, ?4)";
    let row = params![pipeline, partition, signed(range.first), signed(range.last)];
    db.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Removes the ranges that begin within these offsets.
pub fn clear(
    db: &Connection,
    pipeline: i64,
    partition: i64,
    first: u64,
    last: u64,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM ranges WHERE pipeline = ?1 AND partition = ?2 AND first BETWEEN ?3 AND ?4";
    db.prepare_cached(sql)?.execute(params![pipeline, partition, signed(first), signed(last)])?;
    Ok(())
}

/// Removes all that is completed in a partition; how many ranges that were.
pub fn clear_partition(db: &Connection, pipeline: i64, partition: u32) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM ranges WHERE pipeline = ?1 AND partition IN (?2, ?3)";
    let [completed, lettered] = [RangeKind::Completed, RangeKind::Lettered].map(|kind| kind.of(partition));
    db.prepare_cached(sql)?.execute(params![pipeline, completed, lettered])
}

/// Removes some of the oldest letters of the partition that has the most of them, while a pipeline has more
/// than `kept`; how many. Their messages stay completed.
pub fn clear_letters(db: &Connection, pipeline: i64, kept: u64) -> rusqlite::Result<usize> {
    let (first, last) = (RangeKind::Lettered.of(0), RangeKind::Lettered.of(u32::MAX));
    let sql = "SELECT count(*) FROM ranges WHERE pipeline = ?1 AND partition BETWEEN ?2 AND ?3";
    let count: i64 = db.prepare_cached(sql)?.query_row(params![pipeline, first, last], |r| r.get(0))?;
    let beyond = count.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX)).min(LETTERS_AT_ONCE);
    if beyond <= 0 {
        return Ok(0);
    }
    let sql = "SELECT partition, count(*) FROM ranges WHERE pipeline = ?1 AND partition BETWEEN ?2 AND ?3
               GROUP BY partition ORDER BY 2 DESC LIMIT 1";
    let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?));
    let (partition, most): (i64, i64) =
        db.prepare_cached(sql)?.query_row(params![pipeline, first, last], row)?;
    let sql = "DELETE FROM ranges WHERE pipeline = ?1 AND partition = ?2 AND first IN (
                   SELECT first FROM ranges WHERE pipeline = ?1 AND partition = ?2 ORDER BY first LIMIT ?3)";
    db.prepare_cached(sql)?.execute(params![pipeline, partition, beyond.min(most)])
}

/// Whether the table has the position in a range of this kind.
pub fn is_within(db: &Connection, pipeline: i64, kind: RangeKind, at: Position) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM ranges WHERE pipeline = ?1 AND partition = ?2 AND first <= ?3 AND last >= ?3";
    let row = params![pipeline, kind.of(at.partition), signed(at.offset)];
    Ok(db.prepare_cached(sql)?.query_row(row, |_| Ok(())).optional()?.is_some())
}

impl Ranges {
    /// Whether the offset is in one.
    pub fn contains(&self, offset: u64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, last)| *last >= offset)
    }

    /// How many offsets from `first` on, and before `end`, are in one.
    pub fn count(&self, first: u64, end: u64) -> u64 {
        let within = |(f, l): (&u64, &u64)| (l + 1).min(end).saturating_sub((*f).max(first));
        self.0.range(..end).map(within).sum()
    }

    /// The last offset in one.
    pub fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, last)| *last)
    }

    /// Adds a run. What it touches or overlaps becomes one range with it.
    pub fn add(&mut self, first: u64, last: u64) -> Merged {
        let (mut first, mut last) = (first, last);
        if let Some((f, l)) = self.0.range(..=first).next_back()
            && *l >= first.saturating_sub(1)
        {
            (first, last) = (*f, last.max(*l));
        }
        while let Some((f, l)) = self.0.range(first..=last.saturating_add(1)).next() {
            let (f, l) = (*f, *l);
            self.0.remove(&f);
            last = last.max(l);
        }
        self.0.insert(first, last);
        Merged { first, last }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn of_letters_in_topics_the_oldest_are_forgotten_and_stay_completed() {
        let mut db = Connection::open_in_memory().unwrap();
        crate::db::schema::migrate(&mut db).unwrap();
        let one = |kind: RangeKind, partition, offset: u64| {
            write(&db, 1, kind.of(partition), Merged { first: offset * 2, last: offset * 2 }).unwrap();
        };
        for offset in 0..30 {
            one(RangeKind::Completed, 0, offset);
            one(RangeKind::Lettered, 0, offset);
            one(RangeKind::DoneLetters, 0, offset);
        }
        (0..10).for_each(|offset| one(RangeKind::Lettered, 7, offset));
        assert_eq!(clear_letters(&db, 1, 40).unwrap(), 0);
        assert_eq!(clear_letters(&db, 1, 25).unwrap(), 15);
        assert_eq!((clear_letters(&db, 1, 25).unwrap(), clear_letters(&db, 2, 0).unwrap()), (0, 0));
        let has = |kind, partition, offset: u64| {
            is_within(&db, 1, kind, Position { partition, offset: offset * 2 }).unwrap()
        };
        assert_eq!([14, 15].map(|offset| has(RangeKind::Lettered, 0, offset)), [false, true]);
        assert!(
            has(RangeKind::Completed, 0, 0)
                && has(RangeKind::DoneLetters, 0, 0)
                && has(RangeKind::Lettered, 7, 0)
        );
    }

    proptest! {
        #[test]
        fn says_what_a_plain_set_says(steps in prop::collection::vec((0u64..60, 0u64..6), 0..60)) {
            let (mut ranges, mut set, mut table) = (Ranges::default(), BTreeSet::new(), BTreeMap::new());
            for (first, length) in steps {
                set.extend(first..=first + length);
                let merged = ranges.add(first, first + length);
                table.retain(|f, _| *f < merged.first || *f > merged.last);
                table.insert(merged.first, merged.last);
                prop_assert_eq!(ranges.count(7, 50), set.range(7..50).count() as u64);
                prop_assert_eq!(ranges.last(), set.last().copied());
                prop_assert!((0..70).all(|o| ranges.contains(o) == set.contains(&o)));
                prop_assert_eq!(&ranges.0, &table);
                let apart = ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|(a, b)| a.1 + 1 < *b.0);
                prop_assert!(apart);
            }
        }
    }
}
