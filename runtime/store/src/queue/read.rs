//! Reading what may be delivered: given back first, then what is due, then lanes that have opened,
//! then what nobody has seen yet.

use super::Queue;
use super::rows::{self, COLUMNS};
use super::sched::{PER_LANE, Recalled, Sched};
use crate::error::class_of;
use crate::numbers::{signed, unsigned};
use pelton_core::Receipt;
use pelton_core::message::{Channel, Delivery, Lane, Position};
use pelton_core::number::of_an_id;
use pelton_core::ports::ErrorClass;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
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
    /// What ended the read before its time; what it had taken by then is delivered.
    pub trouble: Option<rusqlite::Error>,
}

/// Reads one batch.
pub fn batch(db: &Connection, queue: &Queue, pipeline: &str, ask: &Ask) -> rusqlite::Result<Batch> {
    let mut sched = queue.caught_up();
    let mut reader = Reader {
        db,
        queue,
        channel: &queue.channel(pipeline),
        ask,
        sched: &mut sched,
        taken: Vec::new(),
        bytes: 0,
        looks: 0,
        full: false,
    };
    let read = reader.read();
    let (deliveries, looked_enough) = (reader.taken, reader.looks >= LOOKS);
    let more = queue.has_news(&sched) || looked_enough;
    let trouble = match read {
        Ok(()) => None,
        // What was taken would stay taken, and nobody would have it.
        Err(error) if !deliveries.is_empty() && class_of(&error) == ErrorClass::Transient => Some(error),
        Err(error) => return Err(error),
    };
    let next_due = if deliveries.is_empty() { next_due(db, queue.id, ask.now)? } else { None };
    if deliveries.is_empty() && next_due.is_none() && !more {
        sched.none_waits();
    }
    Ok(Batch { deliveries, next_due, more, trouble })
}

struct Reader<'r> {
    db: &'r Connection,
    queue: &'r Queue,
    channel: &'r Arc<Channel>,
    ask: &'r Ask,
    sched: &'r mut Sched,
    taken: Vec<Delivery>,
    bytes: usize,
    looks: usize,
    full: bool,
}

/// An error may come from any line: what a row was taken from stays as it is until the row is read.
impl Reader<'_> {
    fn read(&mut self) -> rusqlite::Result<()> {
        while let Some(key) = self.sched.doubtful() {
            self.recall(Some(&key))?;
            self.sched.known();
        }
        self.offered()?;
        // Lanes that may go on take memory until they do, and each row that is due may open another.
        if self.sched.is_crowded() {
            self.lanes()?;
        }
        self.due()?;
        self.lanes()?;
        self.fresh()
    }

    fn room(&self) -> usize {
        if self.full || self.looks >= LOOKS { 0 } else { self.ask.max - self.taken.len() }
    }

    /// Whether the message of a row can come too; the first always can.
    fn fits(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let weight = rows::weight(row)?;
        self.full |= self.bytes + weight > self.ask.max_bytes && !self.taken.is_empty();
        Ok(!self.full)
    }

    /// Reads the message of a row that was taken.
    fn deliver(&mut self, row: &Row<'_>, id: u64) -> rusqlite::Result<()> {
        let read = delivery(row, id, self.channel, self.queue);
        let delivery = read.inspect_err(|_| self.sched.untake(id))?;
        self.bytes += delivery.message.weight();
        self.taken.push(delivery);
        Ok(())
    }

    fn offered(&mut self) -> rusqlite::Result<()> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?1");
        let mut statement = self.db.prepare_cached(&sql)?;
        while self.room() > 0 {
            let Some(id) = self.sched.first_offered() else { break };
            let mut rows = statement.query([signed(id)])?;
            let Some(row) = rows.next()? else {
                self.sched.lost_offered(id);
                continue;
            };
            if !self.fits(row)? {
                break;
            }
            self.sched.take_offered(id);
            self.deliver(row, id).inspect_err(|_| self.sched.offer(id))?;
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
            statement.query(params![self.queue.id, signed(at), signed(after), signed(self.ask.now)])?;
        while self.room() > 0 {
            let Some(row) = rows.next()? else { break };
            let (id, visible_at) = (unsigned(row.get(0)?), unsigned(row.get(7)?));
            let key = row.get_ref(2)?.as_blob_or_null()?;
            if visible_at == rows::FREED {
                self.see_what_is_gone(key)?;
            }
            // In a lane, what the fresh scan has not met yet is left to it: rows before this one come first.
            if !self.sched.is_leased(id) && (key.is_none() || id < self.sched.cursor) {
                if !self.fits(row)? {
                    break;
                }
                self.recall(key)?;
                if self.sched.take_due(id, key) {
                    // Its lane waits for it as before.
                    let delivered = self.deliver(row, id);
                    delivered
                        .inspect_err(|_| key.into_iter().for_each(|key| self.sched.blocked(id, key)))?;
                }
            }
            self.sched.due = (visible_at, id);
            self.looks += 1;
        }
        Ok(())
    }

    /// Another process has removed what a lane may wait for: a letter that is a message of this queue was
    /// purged, or replayed.
    fn see_what_is_gone(&mut self, key: Option<&[u8]>) -> rusqlite::Result<()> {
        let Some(key) = key else { return Ok(()) };
        for id in self.sched.waits_for(key) {
            if !rows::exists(self.db, id)? {
                self.sched.removed(id, key);
            }
        }
        Ok(())
    }

    /// Has the schedule know of a lane what the disk does, before a row of it is taken. What waits for a
    /// retry was out before, and so is among the first of its lane.
    fn recall(&mut self, key: Option<&[u8]>) -> rusqlite::Result<()> {
        let Some(key) = key.filter(|key| self.sched.is_left(key)) else { return Ok(()) };
        let (first, past) = rows::bounds(self.queue.id);
        let sql =
            "SELECT id, blocks = 1 AND visible_at > ?4 FROM messages WHERE key = ?1 AND id >= ?2 AND \
            id < ?3
                   AND (blocks = 1 OR visible_at <= ?4) ORDER BY id LIMIT ?5";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows =
            statement.query(params![key, first, past, signed(self.ask.now), signed(PER_LANE + 1)])?;
        let mut known = Recalled::default();
        while let Some(row) = rows.next()? {
            let (id, waits) = (unsigned(row.get(0)?), row.get(1)?);
            match waits {
                true => known.blocked.push(id),
                false if id < self.sched.cursor => known.parked = known.parked.or(Some(id)),
                false => {}
            }
        }
        self.sched.recall(key, known);
        Ok(())
    }

    fn lanes(&mut self) -> rusqlite::Result<()> {
        while self.room() > 0 {
            let Some((key, first, room)) = self.sched.next_open() else { return Ok(()) };
            match self.lane(&key, first, room) {
                Ok(Some(next)) => self.sched.park(&key, next),
                Ok(None) => self.sched.caught_up(&key),
                Err(error) => {
                    // What was taken of it is passed.
                    self.sched.park(&key, first);
                    return Err(error);
                }
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
        let past = signed(self.sched.cursor);
        let mut rows = statement.query(params![key, signed(first), past, signed(self.ask.now)])?;
        let mut taken = 0;
        while let Some(row) = rows.next()? {
            let id = unsigned(row.get(0)?);
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
        let mut rows = statement.query([signed(self.sched.cursor), past])?;
        while self.room() > 0 {
            let Some(row) = rows.next()? else { break };
            let (id, visible_at) = (unsigned(row.get(0)?), unsigned(row.get(7)?));
            let key = row.get_ref(2)?.as_blob_or_null()?;
            // Otherwise the scan of due rows brings it.
            if visible_at == 0 || (visible_at <= self.ask.now && key.is_some()) {
                if !self.fits(row)? {
                    break;
                }
                self.recall(key)?;
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

/// The delivery of a row of `COLUMNS`.
fn delivery(row: &Row<'_>, id: u64, channel: &Arc<Channel>, queue: &Queue) -> rusqlite::Result<Delivery> {
    let message = rows::message(row, channel)?;
    let generated = row.get_ref(1)? == ValueRef::Null;
    let partition = u32::try_from(queue.id).unwrap_or(u32::MAX);
    let position = Position { partition, offset: rows::seq_of(id) };
    Ok(Delivery {
        receipt: Receipt(id),
        lane: message.key().map(Lane::of),
        position: generated.then_some(position),
        ..Delivery::of(message)
    })
}

/// The message of a queue that has this id, whoever holds it: the first of them. Looks at the whole queue
/// where the id is a producer's.
pub fn find(
    db: &Connection,
    queue: &Queue,
    pipeline: &str,
    message_id: &str,
) -> rusqlite::Result<Option<Delivery>> {
    let generated =
        message_id.strip_prefix(&*queue.name).and_then(|rest| of_an_id(rest.strip_prefix('/')?));
    let (first, past) = rows::bounds(queue.id);
    let number = generated.map_or(-1, |seq| rows::id(queue.id, seq).cast_signed());
    let sql = format!(
        "SELECT {COLUMNS} FROM messages WHERE id >= ?1 AND id < ?2
         AND (message_id = ?3 OR (id = ?4 AND message_id IS NULL)) ORDER BY id LIMIT 1"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![first, past, message_id, number])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let id = row.get::<_, i64>(0)?.cast_unsigned();
    delivery(row, id, &queue.channel(pipeline), queue).map(Some)
}

fn next_due(db: &Connection, queue: i64, now: u64) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT min(visible_at) FROM messages
               WHERE id >> 40 = ?1 AND visible_at > 0 AND visible_at > ?2";
    let at: Option<i64> = db.prepare_cached(sql)?.query_row(params![queue, signed(now)], |r| r.get(0))?;
    Ok(at.map(unsigned))
}
