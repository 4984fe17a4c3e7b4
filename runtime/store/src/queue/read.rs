//! Reading what may be delivered: given back first, then what is due, then lanes that have opened,
//! then what nobody has seen yet.

use super::Queue;
use super::rows::{self, COLUMNS};
use super::sched::Sched;
use pelton_core::Receipt;
use pelton_core::message::{Delivery, Lane, Message, Position};
use rusqlite::{Connection, Row, params};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

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
}

/// Reads one batch. The lanes are locked meanwhile: what the writer commits follows after.
pub fn batch(db: &Connection, queue: &Queue, pipeline: &Arc<str>, ask: &Ask) -> rusqlite::Result<Batch> {
    let mut sched = queue.sched();
    let mut reader =
        Reader { db, queue, pipeline, ask, sched: &mut sched, taken: Vec::new(), bytes: 0, full: false };
    reader.offered()?;
    reader.due()?;
    reader.lanes()?;
    reader.fresh()?;
    let deliveries = reader.taken;
    let next_due = if deliveries.is_empty() { next_due(db, queue.id, ask.now)? } else { None };
    Ok(Batch { deliveries, next_due })
}

struct Reader<'r> {
    db: &'r Connection,
    queue: &'r Queue,
    pipeline: &'r Arc<str>,
    ask: &'r Ask,
    sched: &'r mut Sched,
    taken: Vec<Delivery>,
    bytes: usize,
    full: bool,
}

impl Reader<'_> {
    fn room(&self) -> usize {
        if self.full { 0 } else { self.ask.max - self.taken.len() }
    }

    /// The message of a row, if it fits; the first always does.
    fn read(&mut self, row: &Row<'_>) -> rusqlite::Result<Option<Message>> {
        let message = rows::message(row, self.pipeline, &self.queue.name)?;
        let weight = message.weight();
        if self.room() == 0 || (self.bytes + weight > self.ask.max_bytes && !self.taken.is_empty()) {
            self.full = true;
            return Ok(None);
        }
        Ok(Some(message))
    }

    fn deliver(&mut self, id: u64, generated: bool, message: Message) {
        let position = Position { partition: self.queue.id as u32, offset: rows::seq_of(id) };
        self.bytes += message.weight();
        self.taken.push(Delivery {
            receipt: Receipt(id),
            lane: message.key.as_deref().map(lane),
            position: generated.then_some(position),
            attempts: 0,
            lease_until: None,
            message: Arc::new(message),
        });
    }

    fn offered(&mut self) -> rusqlite::Result<()> {
        let ids = self.sched.offered(self.room());
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?1");
        let mut statement = self.db.prepare_cached(&sql)?;
        for id in ids {
            let mut rows = statement.query([id as i64])?;
            let Some(row) = rows.next()? else { continue };
            match self.read(row)? {
                Some(message) => {
                    self.sched.take_offered(id);
                    self.deliver(id, is_generated(row)?, message);
                }
                None => self.sched.offer(id),
            }
        }
        Ok(())
    }

    fn due(&mut self) -> rusqlite::Result<()> {
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
            let Some(message) = self.read(row)? else { break };
            self.sched.due = (visible_at, id);
            if self.sched.take_due(id, message.key.as_deref()) {
                self.deliver(id, is_generated(row)?, message);
            }
        }
        Ok(())
    }

    fn lanes(&mut self) -> rusqlite::Result<()> {
        while self.room() > 0 {
            let Some((key, first, room)) = self.sched.next_open() else { return Ok(()) };
            let left = self.lane(&key, first, room)?;
            match left {
                Some(next) => self.sched.park(&key, next),
                None => self.sched.caught_up(&key),
            }
            if left.is_some() && self.full {
                return Ok(());
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
            if taken == room || self.room() == 0 {
                return Ok(Some(id));
            }
            let Some(message) = self.read(row)? else { return Ok(Some(id)) };
            if !self.sched.take_parked(id, key) {
                return Ok(Some(id));
            }
            taken += 1;
            self.deliver(id, is_generated(row)?, message);
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
            let (id, visible_at) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(7)?);
            if visible_at > 0 {
                self.sched.cursor = id + 1;
                continue;
            }
            let Some(message) = self.read(row)? else { break };
            self.sched.cursor = id + 1;
            if self.sched.take_fresh(id, message.key.as_deref()) {
                self.deliver(id, is_generated(row)?, message);
            }
        }
        Ok(())
    }
}

fn is_generated(row: &Row<'_>) -> rusqlite::Result<bool> {
    Ok(row.get_ref(1)? == rusqlite::types::ValueRef::Null)
}

/// Lanes are told apart by a hash: two keys that share one only wait for each other.
fn lane(key: &[u8]) -> Lane {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    Lane(hasher.finish())
}

fn next_due(db: &Connection, queue: i64, now: u64) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT min(visible_at) FROM messages WHERE id >> 40 = ?1 AND visible_at > ?2";
    let at: Option<i64> = db.prepare_cached(sql)?.query_row(params![queue, now as i64], |r| r.get(0))?;
    Ok(at.map(|at| at as u64))
}
