//! What a group adds up: written once at its end, and taken back when it fails.

use super::new_rows::NewRows;
use super::outbox_rows::OutboxRows;
use crate::ledger::Pipeline;
use crate::ledger::identity::{Item, encode_items};
use crate::ledger::key::Key;
use crate::ledger::ranges::{self, Merged, RangeKind};
use crate::numbers::signed;
use crate::queue::{Queue, rows};
use crate::state::rows as state_rows;
use pelton_core::effects::LastWrites;
use pelton_core::points;
use pelton_core::ports::Claim;
use pelton_core::{Counters, Position, Receipt};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of a delivery in its queue's memory, once the group has committed.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Settled.
    Gone(Receipt),
    /// Removed, whether it was out or waited: what waits for it in the lane of this key does so no more.
    Removed(Receipt, Box<[u8]>),
    /// Waits on disk.
    Delayed(Receipt),
    /// To be delivered again.
    Back(Receipt),
    /// A new message is there.
    Arrived,
}

/// What a group counts of one pipeline.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub counters: Counters,
    /// Dead letters that are kept here: a number that also falls.
    pub letters: u64,
}

#[derive(Default)]
pub struct GroupEffects {
    pipelines: BTreeMap<i64, PipelineEffects>,
    deleted: Vec<u64>,
    /// By queue: a group touches few.
    effects: Vec<(Arc<Queue>, Vec<Effect>)>,
    pub new_rows: NewRows,
    pub state: LastWrites,
    pub outbox: OutboxRows,
}

/// What a group does to one pipeline.
struct PipelineEffects {
    pipeline: Arc<Pipeline>,
    counts: Counts,
    taken: Vec<(Claim, Item)>,
    /// Partition, first and last.
    completed: Vec<(u32, u64, u64)>,
    keys: Vec<Key>,
    lettered: Vec<Position>,
}

impl GroupEffects {
    fn of(&mut self, pipeline: &Arc<Pipeline>) -> &mut PipelineEffects {
        self.pipelines.entry(pipeline.id).or_insert_with(|| PipelineEffects {
            pipeline: pipeline.clone(),
            counts: Counts::default(),
            taken: Vec::new(),
            completed: Vec::new(),
            keys: Vec::new(),
            lettered: Vec::new(),
        })
    }

    pub fn counts(&mut self, pipeline: &Arc<Pipeline>) -> &mut Counts {
        &mut self.of(pipeline).counts
    }

    pub fn taken(&mut self, pipeline: &Arc<Pipeline>, claim: Claim, item: Item) {
        self.of(pipeline).taken.push((claim, item));
    }

    /// A position, and so many before it that hold no message.
    pub fn completed(&mut self, pipeline: &Arc<Pipeline>, position: Position, skipped: u64) {
        let Position { partition, offset } = position;
        self.of(pipeline).completed.push((partition, offset.saturating_sub(skipped), offset));
    }

    pub fn completed_key(&mut self, pipeline: &Arc<Pipeline>, key: Key) {
        self.of(pipeline).keys.push(key);
    }

    /// A position whose letter is kept by a broker: done with, as what is completed.
    pub fn lettered(&mut self, pipeline: &Arc<Pipeline>, position: Position, skipped: u64) {
        self.completed(pipeline, position, skipped);
        self.of(pipeline).lettered.push(position);
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

    /// A new message is in a queue: told once.
    pub fn arrived(&mut self, queue: &Arc<Queue>) {
        let of = self.effects.iter().find(|(q, _)| q.id == queue.id);
        if !of.is_some_and(|(_, effects)| matches!(effects.last(), Some(Effect::Arrived))) {
            self.effect(queue, Effect::Arrived);
        }
    }

    /// The statements that one group needs once.
    pub fn write(&mut self, db: &Connection, now: u64) -> rusqlite::Result<()> {
        for of in self.pipelines.values_mut() {
            of.write_started(db)?;
            of.write_ranges(db)?;
            of.write_keys(db, now)?;
            of.write_counts(db)?;
        }
        self.deleted.sort_unstable();
        let deleted: Vec<_> = self.deleted.iter().map(|row| (0, *row, *row)).collect();
        for (_, first, last) in runs(&deleted) {
            rows::delete(db, first, last)?;
        }
        self.new_rows.write(db)?;
        state_rows::write(db, &self.state)?;
        if self.outbox.write(db)? | !self.state.is_empty() {
            points::reach("effects-written");
        }
        Ok(())
    }

    /// The group has committed: memory follows. The pipelines whose open segment is full.
    pub fn take_effect(self) -> Vec<Arc<Pipeline>> {
        let mut full = Vec::new();
        for of in self.pipelines.into_values() {
            let mut state = of.pipeline.state();
            for (claim, _) in &of.taken {
                if state.live.get(&claim.chunk).is_some_and(|c| c.iter().all(Option::is_none)) {
                    state.live.remove(&claim.chunk);
                }
            }
            let is_full = !of.keys.is_empty() && state.entries.is_full();
            drop(state);
            full.extend(is_full.then_some(of.pipeline));
        }
        for (queue, effects) in self.effects {
            queue.follow(effects.into_iter());
        }
        self.outbox.take_effect();
        full
    }

    /// The group has failed: its claims live on. What memory holds of the tables is put back too.
    pub fn undo(self) {
        for of in self.pipelines.into_values() {
            let mut state = of.pipeline.state();
            for (claim, item) in of.taken {
                if let Some(place) = state
                    .live
                    .get_mut(&claim.chunk)
                    .and_then(|c| c.get_mut(usize::try_from(claim.index).ok()?))
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

impl PipelineEffects {
    /// Ends the record of a chunk with its last item, or leaves in it what is still started.
    fn write_started(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut chunks: Vec<u64> = self.taken.iter().map(|(claim, _)| claim.chunk).collect();
        chunks.dedup();
        chunks.sort_unstable();
        chunks.dedup();
        let state = self.pipeline.state();
        for chunk in chunks {
            leave_started(db, chunk, state.live.get(&chunk).into_iter().flatten().flatten())?;
        }
        Ok(())
    }

    fn write_ranges(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.completed.sort_unstable();
        let mut state = self.pipeline.state();
        for (partition, first, last) in runs(&self.completed) {
            let merged = state.ranges.entry(partition).or_default().add(first, last);
            ranges::write(db, self.pipeline.id, RangeKind::Completed.of(partition), merged)?;
            if self.pipeline.source.get().is_none() {
                ranges::clear(db, self.pipeline.id, RangeKind::Lettered.of(partition), first, last)?;
            }
        }
        for Position { partition, offset } in &self.lettered {
            let one = Merged { first: *offset, last: *offset };
            ranges::write(db, self.pipeline.id, RangeKind::Lettered.of(*partition), one)?;
        }
        Ok(())
    }

    fn write_keys(&self, db: &Connection, now: u64) -> rusqlite::Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        self.pipeline.state().entries.add(db, &self.keys, now)
    }

    fn write_counts(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT INTO counters VALUES (?1, ?2, ?3)
                   ON CONFLICT(pipeline, name) DO UPDATE SET number = number + excluded.number";
        for (counter, number) in self.counts.counters.iter().filter(|(_, number)| *number > 0) {
            db.prepare_cached(sql)?.execute(params![self.pipeline.id, counter.name(), signed(number)])?;
        }
        if self.counts.letters > 0 {
            let sql = "UPDATE pipelines SET letters = letters + ?2 WHERE id = ?1";
            db.prepare_cached(sql)?.execute(params![self.pipeline.id, signed(self.counts.letters)])?;
        }
        Ok(())
    }
}

/// Leaves in the record of a chunk what is still started; without anything it ends.
pub fn leave_started<'i>(
    db: &Connection,
    chunk: u64,
    left: impl Iterator<Item = &'i Item> + Clone,
) -> rusqlite::Result<()> {
    let count = left.clone().count();
    if count == 0 {
        return db
            .prepare_cached("DELETE FROM started WHERE chunk = ?1")?
            .execute([signed(chunk)])
            .map(drop);
    }
    let sql = "UPDATE started SET count = ?2, items = ?3 WHERE chunk = ?1";
    let row = params![signed(chunk), signed(count), encode_items(left.copied())];
    db.prepare_cached(sql)?.execute(row).map(drop)
}

/// Neighbours in a sorted list of partition, first and last, put together.
pub fn runs(sorted: &[(u32, u64, u64)]) -> Vec<(u32, u64, u64)> {
    let mut runs: Vec<(u32, u64, u64)> = Vec::new();
    for (partition, first, last) in sorted.iter().copied() {
        match runs.last_mut() {
            Some((p, _, l)) if *p == partition && l.saturating_add(1) >= first => *l = last.max(*l),
            _ => runs.push((partition, first, last)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    #[test]
    fn neighbours_make_runs() {
        let items = [(0, 1, 1), (0, 2, 3), (0, 7, 7), (0, 9, 9), (0, 10, 10), (1, 11, 12), (1, 11, 11)];
        assert_eq!(super::runs(&items), [(0, 1, 3), (0, 7, 7), (0, 9, 10), (1, 11, 12)]);
    }
}
