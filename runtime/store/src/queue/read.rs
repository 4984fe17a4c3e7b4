//! Reading what may be delivered: given back first, then what is due, then lanes that have opened,
//! then what nobody has seen yet.

use super::Queue;
use super::rows::{self, COLUMNS};
use super::sched::Sched;
use pelton_core::Receipt;
use pelton_core::message::{Delivery, Lane, Position};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Rows that one read looks at, whether they can be delivered or not: behind a lane that is closed
/// there may be millions of its own.
const LOOKS: usize = 20_000;

/// What is wanted.
pub struct Ask {
    pub max: usize,
    pub max_bytes: usize,
    /// Wall time, in milliseconds.
    pub now: u64,
}

/// What there is.
#[derive(Default)]
pub struct Batch {
    pub deliveries: Vec<Delivery>,
    /// When the next wait is over, if nothing could be delivered.
    pub next_due: Option<u64>,
    /// Nothing could be delivered, but not everything has been looked at.
    pub more: bool,
}

/// Reads one batch.
pub fn batch(db: &Connection, queue: &Queue, pipeline: &Arc<str>, ask: &Ask) -> rusqlite::Result<Batch> {
    let mut sched = queue.caught_up();
    let mut reader = Reader {
        db,
        queue,
        pipeline,
        ask,
        sched: &mut sched,
        taken: Vec::new(),
        bytes: 0,
        looks: 0,
        full: false,
    };
    reader.offered()?;
    reader.due()?;
    reader.lanes()?;
    reader.fresh()?;
    let (deliveries, looked_enough) = (reader.taken, reader.looks >= LOOKS);
    let more = queue.has_news(&sched) || looked_enough;
    let next_due = if deliveries.is_empty() { next_due(db, queue.id, ask.now)? } else { None };
    Ok(Batch { deliveries, next_due, more })
}

struct Reader<'r> {
    db: &'r Connection,
    queue: &'r Queue,
    pipeline: &'r Arc<str>,
    ask: &'r Ask,
    sched: &'r mut Sched,
    taken: Vec<Delivery>,
    bytes: usize,
    looks: usize,
    full: bool,
}

impl Reader<'_> {
    fn room(&self) -> usize {
        if self.full || self.looks >= LOOKS { 0 } else { self.ask.max - self.taken.len() }
    }

    /// Whether the message of a row can come too; the first always can.
    fn fits(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let weight = rows::weight(row, &self.queue.name)?;
        self.full |= self.bytes + weight > self.ask.max_bytes && !self.taken.is_empty();
        Ok(!self.full)
    }

    /// Reads the message of a row that was taken.
    fn deliver(&mut self, row: &Row<'_>, id: u64) -> rusqlite::Result<()> {
        let message = rows::message(row, self.pipeline, &self.queue.name)?;
        let generated = row.get_ref(1)? == ValueRef::Null;
        let position = Position { partition: self.queue.id as u32, offset: rows::seq_of(id) };
        self.bytes += message.weight();
        self.taken.push(Delivery {
            receipt: Receipt(id),
            lane: message.key.as_deref().map(lane),
            position: generated.then_some(position),
            skipped: 0,
            receives: 0,
            assignment: 0,
            lease_until: None,
            instance: None,
            message: Arc::new(message),
            unreadable: None,
        });
        Ok(())
    }

    fn offered(&mut self) -> rusqlite::Result<()> {
        let ids = self.sched.offered(self.room());
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?1");
        let mut statement = self.db.prepare_cached(&sql)?;
        for id in ids {
            let mut rows = statement.query([id as i64])?;
            let Some(row) = rows.next()? else { continue };
            if self.fits(row)? {
                self.sched.take_offered(id);
                self.deliver(row, id)?;
            } else {
                self.sched.offer(id);
            }
        }
        Ok(())
    }

    fn due(&mut self) -> rusqlite::Result<()> {
        if self.sched.due.0 > self.ask.now {
            // The clock went back.
            self.sched.due = (0, 0);
        }
        let (at, after) = self.sched.due;
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE id >> 40 = ?1 AND visible_at > 0
             AND (visible_at, id) > (?2, ?3) AND visible_at <= ?4 ORDER BY visible_at, id"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows =
            statement.query(params![self.queue.id, at as i64, after as i64, self.ask.now as i64])?;
        while self.room() > 0 {
            let Some(row) = rows.next()? else { break };
            let (id, visible_at) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(7)? as u64);
            let key = row.get_ref(2)?.as_blob_or_null()?;
            // In a lane, what the fresh scan has not met yet is left to it: rows before this one come first.
            if !self.sched.is_leased(id) && (key.is_none() || id < self.sched.cursor) {
                if !self.fits(row)? {
                    break;
                }
                if self.sched.take_due(id, key) {
                    self.deliver(row, id)?;
                }
            }
            self.sched.due = (visible_at, id);
            self.looks += 1;
        }
        Ok(())
    }

    fn lanes(&mut self) -> rusqlite::Result<()> {
        while self.room() > 0 {
            let Some((key, first, room)) = self.sched.next_open() else { return Ok(()) };
            match self.lane(&key, first, room)? {
                Some(next) => self.sched.park(&key, next),
                None => self.sched.caught_up(&key),
            }
        }
        Ok(())
    }

    /// Takes parked rows of one lane; the first that is left, if any is.
    fn lane(&mut self, key: &[u8], first: u64, room: usize) -> rusqlite::Result<Option<u64>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE key = ?1 AND id >= ?2 AND id < ?3
             AND visible_at <= ?4 ORDER BY id"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let past = self.sched.cursor as i64;
        let mut rows = statement.query(params![key, first as i64, past, self.ask.now as i64])?;
        let mut taken = 0;
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)? as u64;
            if self.sched.is_leased(id) {
                continue;
            }
            if taken == room || self.room() == 0 || !self.fits(row)? {
                return Ok(Some(id));
            }
            self.sched.take_parked(id, key);
            taken += 1;
            self.deliver(row, id)?;
        }
        Ok(None)
    }

    fn fresh(&mut self) -> rusqlite::Result<()> {
        if self.room() == 0 {
            return Ok(());
        }
        let (_, past) = rows::bounds(self.queue.id);
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id >= ?1 AND id < ?2 ORDER BY id");
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query([self.sched.cursor as i64, past])?;
        while self.room() > 0 {
            let Some(row) = rows.next()? else { break };
            let (id, visible_at) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(7)? as u64);
            let key = row.get_ref(2)?.as_blob_or_null()?;
            // Otherwise the scan of due rows brings it.
            if visible_at == 0 || (visible_at <= self.ask.now && key.is_some()) {
                if !self.fits(row)? {
                    break;
                }
                let taken = match visible_at {
                    0 => self.sched.take_fresh(id, key),
                    _ => self.sched.take_due(id, key),
                };
                if taken {
                    self.deliver(row, id)?;
                }
            }
            self.sched.cursor = id + 1;
            self.looks += 1;
        }
        Ok(())
    }
}

/// Lanes are told apart by a hash: two keys that share one only wait for each other.
fn lane(key: &[u8]) -> Lane {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    Lane(hasher.finish())
}

fn next_due(db: &Connection, queue: i64, now: u64) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT min(visible_at) FROM messages
               WHERE id >> 40 = ?1 AND visible_at > 0 AND visible_at > ?2";
    let at: Option<i64> = db.prepare_cached(sql)?.query_row(params![queue, now as i64], |r| r.get(0))?;
    Ok(at.map(|at| at as u64))
}
