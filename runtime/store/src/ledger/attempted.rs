//! Which messages have a row in `attempts`. Memory knows them by heart: one that waits for its retry
//! costs the others no lookup.

use super::identity::{decode, encode};
use pelton_core::{Identity, Position};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use std::ops::Range;

/// What memory holds at most, in a few MB. Beyond that the table is asked about every message.
const KNOWN: usize = 100_000;

/// All that have a row, and maybe some whose row another process has removed.
#[derive(Debug, Default)]
pub struct Attempted {
    identities: BTreeSet<Identity>,
    /// None is held then, until all are read anew.
    too_many: bool,
}

/// The positions of a partition before this one.
fn before(end: Position) -> Range<Identity> {
    Identity::Position(Position { offset: 0, ..end })..Identity::Position(end)
}

/// Removes the rows of a partition before this position.
pub fn clear_before(db: &Connection, pipeline: i64, end: Position) -> rusqlite::Result<()> {
    let sql = "DELETE FROM attempts WHERE pipeline = ?1 AND identity >= ?2 AND identity < ?3";
    let Range { start, end } = before(end);
    db.prepare_cached(sql)?.execute(params![pipeline, encode(start), encode(end)])?;
    Ok(())
}

/// Rows that go at once.
pub const STEP: usize = 1_000;

/// What of the rows is old.
pub struct Old {
    /// What was last written before this has no end, and never will.
    pub before_ms: u64,
    /// The same of letters: they are known as long as what is completed.
    pub letters_before_ms: u64,
    /// So many letters are known at most, and a few.
    pub letters_kept: u64,
}

/// Removes the first of the rows that are old. Whose those were.
pub fn clear_old(db: &Connection, pipeline: i64, old: &Old) -> rusqlite::Result<Vec<Identity>> {
    let sql = "SELECT changed_at FROM attempts WHERE pipeline = ?1 AND (lettered IS NOT NULL) = 1
               ORDER BY changed_at DESC LIMIT 1 OFFSET ?2";
    let row = params![pipeline, old.letters_kept.cast_signed()];
    let beyond: Option<i64> = db.prepare_cached(sql)?.query_row(row, |r| r.get(0)).optional()?;
    let before = old.before_ms.cast_signed();
    let letters_before = old.letters_before_ms.cast_signed();
    let mut gone = Vec::new();
    let of_letters = beyond.map_or(letters_before, |at| at.saturating_add(1).max(letters_before));
    for (of_letters, before) in [(0, before), (1, of_letters)] {
        let sql = "DELETE FROM attempts WHERE pipeline = ?1 AND identity IN (
                       SELECT identity FROM attempts WHERE pipeline = ?1 AND (lettered IS NOT NULL) = ?2
                       AND changed_at < ?3 ORDER BY changed_at LIMIT ?4) RETURNING identity";
        let mut rows = db.prepare_cached(sql)?;
        let mut rows =
            rows.query(params![pipeline, of_letters, before, i64::try_from(STEP).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            gone.extend(decode(&row.get::<_, Vec<u8>>(0)?));
        }
    }
    Ok(gone)
}

impl Attempted {
    /// One that knows none by heart.
    pub fn full() -> Self {
        Self { identities: BTreeSet::new(), too_many: true }
    }

    /// Reads those of a pipeline.
    pub fn read(db: &Connection, pipeline: i64) -> rusqlite::Result<Self> {
        let mut rows = db.prepare_cached("SELECT identity FROM attempts WHERE pipeline = ?1")?;
        let mut rows = rows.query([pipeline])?;
        let mut all = Self::default();
        while !all.too_many
            && let Some(row) = rows.next()?
        {
            let identity: Vec<u8> = row.get(0)?;
            if let Some(identity) = decode(&identity) {
                all.add(identity);
            }
        }
        Ok(all)
    }

    /// Whether the table is worth a look.
    pub fn may_have(&self, identity: Identity) -> bool {
        self.too_many || self.identities.contains(&identity)
    }

    /// Whether it is for what lies before this position in its partition.
    pub fn may_have_before(&self, end: Position) -> bool {
        self.too_many || self.identities.range(before(end)).next().is_some()
    }

    pub fn add(&mut self, identity: Identity) {
        if !self.too_many {
            self.identities.insert(identity);
        }
        if self.identities.len() > KNOWN {
            *self = Self::full();
        }
    }

    pub fn remove(&mut self, identity: Identity) {
        self.identities.remove(&identity);
    }

    /// Whether memory has too many to know them.
    pub fn is_full(&self) -> bool {
        self.too_many
    }

    pub fn remove_before(&mut self, end: Position) {
        self.identities.retain(|identity| !before(end).contains(identity));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(partition: u32, offset: u64) -> Identity {
        Identity::Position(Position { partition, offset })
    }

    #[test]
    fn what_lies_before_a_position_is_of_its_partition_alone() {
        let mut all = Attempted::default();
        let others = [at(2, 7), at(2, u64::MAX - 1), at(1, 3), at(3, 3), Identity::Key([2; 16])];
        others.into_iter().chain([at(2, 0), at(2, 6)]).for_each(|i| all.add(i));
        let end = Position { partition: 2, offset: 7 };
        assert!(all.may_have_before(end));
        all.remove_before(end);
        assert!(!all.may_have_before(end) && !all.may_have(at(2, 0)) && !all.may_have(at(2, 6)));
        assert!(others.into_iter().all(|i| all.may_have(i)));
        all.remove(at(2, 7));
        assert!(!all.may_have(at(2, 7)));
    }

    #[test]
    fn of_letters_the_oldest_go_and_what_may_still_be_tried_stays() {
        let mut db = Connection::open_in_memory().unwrap();
        crate::db::schema::migrate(&mut db).unwrap();
        let insert = "INSERT INTO attempts(pipeline, identity, attempts, suspect, lettered, changed_at)
                      VALUES (?1, ?2, 1, 0, ?3, ?4)";
        for n in 0..20u32 {
            let lettered = (n % 2 == 0).then_some([1u8]);
            let row = params![n / 10, encode(at(0, u64::from(n))), lettered, n];
            db.execute(insert, row).unwrap();
        }
        let gone = |before, kept| {
            let old = Old { before_ms: before, letters_before_ms: before, letters_kept: kept };
            let mut gone = clear_old(&db, 1, &old).unwrap();
            gone.sort_unstable();
            gone
        };
        assert_eq!(gone(0, 5), []);
        assert_eq!(gone(0, 3), [at(0, 10), at(0, 12)], "3 of 5 are kept, and all that have none");
        assert_eq!(gone(14, 3), [at(0, 11), at(0, 13)]);
        assert_eq!(gone(100, 3).len(), 6);
        let left: i64 = db.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 10, "those of the other pipeline");
    }

    #[test]
    fn beyond_what_memory_holds_the_table_is_asked_about_all() {
        let mut all = Attempted::default();
        (0..KNOWN as u64).for_each(|offset| all.add(at(0, offset)));
        assert!(!all.may_have(at(1, 0)));
        all.add(at(0, KNOWN as u64));
        all.remove_before(Position { partition: 0, offset: u64::MAX });
        all.add(at(0, 0));
        assert!(all.may_have(at(1, 0)) && all.may_have_before(Position { partition: 1, offset: 1 }));
        assert!(all.identities.is_empty());
    }
}
