//! What a group adds up: written once at its end, and taken back when it fails.

use crate::ledger::Pipeline;
use crate::ledger::identity::{Item, encode_items};
use crate::queue::{Queue, rows};
use pelton_core::ports::Claim;
use pelton_core::{Position, Receipt};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of a delivery in its queue's memory, once the group has committed.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// Settled.
    Gone(Receipt),
    /// Waits on disk.
    Delayed(Receipt),
    /// To be delivered again.
    Back(Receipt),
    /// A new message is there.
    Arrived,
}

/// Counters of one pipeline.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub handled: u64,
    pub duplicates: u64,
    pub retries: u64,
    pub rejected: u64,
    pub exhausted: u64,
    pub crash_loop: u64,
    pub invalid: u64,
    pub letters: u64,
}

#[derive(Default)]
pub struct Tally {
    pipelines: BTreeMap<i64, Of>,
    deleted: Vec<u64>,
    /// By queue: a group touches few.
    effects: Vec<(Arc<Queue>, Vec<Effect>)>,
}

/// What a group does to one pipeline.
struct Of {
    pipeline: Arc<Pipeline>,
    counts: Counts,
    taken: Vec<(Claim, Item)>,
    completed: Vec<Position>,
}

impl Tally {
    fn of(&mut self, pipeline: &Arc<Pipeline>) -> &mut Of {
        self.pipelines.entry(pipeline.id).or_insert_with(|| Of {
            pipeline: pipeline.clone(),
            counts: Counts::default(),
            taken: Vec::new(),
            completed: Vec::new(),
        })
    }

    pub fn counts(&mut self, pipeline: &Arc<Pipeline>) -> &mut Counts {
        &mut self.of(pipeline).counts
    }

    pub fn taken(&mut self, pipeline: &Arc<Pipeline>, claim: Claim, item: Item) {
        self.of(pipeline).taken.push((claim, item));
    }

    pub fn completed(&mut self, pipeline: &Arc<Pipeline>, position: Position) {
        self.of(pipeline).completed.push(position);
    }

    pub fn delete(&mut self, row: u64) {
        self.deleted.push(row);
    }

    pub fn effect(&mut self, queue: &Arc<Queue>, effect: Effect) {
        match self.effects.iter_mut().find(|(q, _)| q.id == queue.id) {
            Some((_, effects)) => effects.push(effect),
            None => self.effects.push((queue.clone(), vec![effect])),
        }
    }

    /// The statements that one group needs once.
    pub fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        for of in self.pipelines.values_mut() {
            of.write_started(db)?;
            of.write_ranges(db)?;
            of.write_counts(db)?;
        }
        self.deleted.sort_unstable();
        for (first, last) in runs(self.deleted.iter().copied()) {
            rows::delete(db, first, last)?;
        }
        Ok(())
    }

    /// The group has committed: memory follows.
    pub fn take_effect(self) {
        for of in self.pipelines.into_values() {
            let mut state = of.pipeline.state();
            for (claim, _) in &of.taken {
                if state.live.get(&claim.chunk).is_some_and(|c| c.iter().all(Option::is_none)) {
                    state.live.remove(&claim.chunk);
                }
            }
        }
        for (queue, effects) in self.effects {
            queue.follow(effects.into_iter());
        }
    }

    /// The group has failed: its claims live on. What memory holds of the tables is put back too.
    pub fn undo(self) {
        for of in self.pipelines.into_values() {
            let mut state = of.pipeline.state();
            for (claim, item) in of.taken {
                if let Some(place) =
                    state.live.get_mut(&claim.chunk).and_then(|c| c.get_mut(claim.index as usize))
                {
                    *place = Some(item);
                }
            }
        }
    }

    /// The pipelines that were touched.
    pub fn pipelines(&self) -> Vec<Arc<Pipeline>> {
        self.pipelines.values().map(|of| of.pipeline.clone()).collect()
    }
}

impl Of {
    /// Ends the record of a chunk with its last item, or leaves in it what is still started.
    fn write_started(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut chunks: Vec<u64> = self.taken.iter().map(|(claim, _)| claim.chunk).collect();
        chunks.dedup();
        chunks.sort_unstable();
        chunks.dedup();
        let state = self.pipeline.state();
        for chunk in chunks {
            let left = state.live.get(&chunk).into_iter().flatten().flatten();
            let count = left.clone().count();
            if count == 0 {
                db.prepare_cached("DELETE FROM started WHERE chunk = ?1")?.execute([chunk as i64])?;
            } else {
                let sql = "UPDATE started SET count = ?2, items = ?3 WHERE chunk = ?1";
                let row = params![chunk as i64, count as i64, encode_items(left.copied())];
                db.prepare_cached(sql)?.execute(row)?;
            }
        }
        Ok(())
    }

    fn write_ranges(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.completed.sort_unstable();
        let mut state = self.pipeline.state();
        let mut rest = self.completed.as_slice();
        while let Some(Position { partition, .. }) = rest.first().copied() {
            let same = rest.iter().take_while(|p| p.partition == partition).count();
            let (these, others) = rest.split_at(same);
            rest = others;
            let ranges = state.ranges.entry(partition).or_default();
            for (first, last) in runs(these.iter().map(|p| p.offset)) {
                let merged = ranges.add(first, last);
                let row = params![self.pipeline.id, partition, merged.first as i64, merged.last as i64];
                // Not only what memory knows: another process may have split a range to forget an
                // offset, and ranges must never overlap.
                let sql =
                    "DELETE FROM ranges WHERE pipeline = ?1 AND partition = ?2 AND first BETWEEN ?3 AND ?4";
                db.prepare_cached(sql)?.execute(row)?;
                let sql = "INSERT INTO ranges(pipeline, partition, first, last) VALUES (?1, ?2, ?3, ?4)";
                db.prepare_cached(sql)?.execute(row)?;
            }
        }
        Ok(())
    }

    fn write_counts(&self, db: &Connection) -> rusqlite::Result<()> {
        let c = self.counts;
        let sql = "UPDATE pipelines SET handled = handled + ?2, duplicates = duplicates + ?3,
                   retries = retries + ?4, rejected = rejected + ?5, exhausted = exhausted + ?6,
                   crash_loop = crash_loop + ?7, invalid = invalid + ?8, letters = letters + ?9
                   WHERE id = ?1";
        let numbers = [
            c.handled,
            c.duplicates,
            c.retries,
            c.rejected,
            c.exhausted,
            c.crash_loop,
            c.invalid,
            c.letters,
        ];
        let [a, b, d, e, f, g, h, i] = numbers.map(|n| n as i64);
        db.prepare_cached(sql)?.execute(params![self.pipeline.id, a, b, d, e, f, g, h, i])?;
        Ok(())
    }
}

/// Neighbours in a sorted list, as first and last.
fn runs(sorted: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in sorted {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 >= number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    #[test]
    fn neighbours_make_runs() {
        assert_eq!(super::runs([1, 2, 3, 7, 9, 10].into_iter()), [(1, 3), (7, 7), (9, 10)]);
    }
}
