//! Which messages have a row in `attempts`. Memory knows them by heart: one that waits for its retry
//! costs the others no lookup.

use super::identity::{decode, encode};
use pelton_core::{Identity, Position};
use rusqlite::{Connection, params};
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

impl Attempted {
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
            *self = Self { identities: BTreeSet::new(), too_many: true };
        }
    }

    pub fn remove(&mut self, identity: Identity) {
        self.identities.remove(&identity);
    }

    pub fn remove_before(&mut self, end: Position) {
        self.identities.retain(|identity| !before(end).contains(identity));
    }
}

#[cfg(test)]
mod tests {
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
