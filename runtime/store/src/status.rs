//! How a pipeline stands, for any process.

use crate::numbers::{signed, unsigned};
use pelton_core::{Counter, Counters};
use rusqlite::{Connection, OptionalExtension, params};

/// Numbers of one pipeline. `queued + delayed + in_flight` is what is in its queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineStatus {
    /// Ready, or held by a worker and not started.
    pub queued: u64,
    /// Waiting for a time: sent with a delay, or for a retry.
    pub delayed: u64,
    /// Started and not ended.
    pub in_flight: u64,
    /// What was counted since the data directory was made.
    pub counters: Counters,
    /// Dead letters held now.
    pub dead_letters: u64,
    /// Digest of the handler of the last run; empty before the first.
    pub handler: String,
}

/// Reads all of it in one snapshot, so that the numbers belong together.
pub fn read(
    db: &Connection,
    pipeline: &str,
    queue: Option<&str>,
    letters: Option<&str>,
    now: u64,
) -> rusqlite::Result<PipelineStatus> {
    let snapshot = db.unchecked_transaction()?;
    let status = count(&snapshot, pipeline, queue, letters, now)?;
    snapshot.commit()?;
    Ok(status)
}

fn count(
    db: &Connection,
    pipeline: &str,
    queue: Option<&str>,
    letters: Option<&str>,
    now: u64,
) -> rusqlite::Result<PipelineStatus> {
    let mut status = PipelineStatus::default();
    let sql = "SELECT id, handler, letters FROM pipelines WHERE name = ?1";
    let id = db
        .query_row(sql, [pipeline], |r| {
            (status.handler, status.dead_letters) = (r.get(1)?, r.get(2).map(unsigned)?);
            r.get::<_, i64>(0)
        })
        .optional()?;
    if let Some(id) = id {
        status.counters = counters(db, id)?;
    }
    let depth = |name: &str| {
        let sql = "SELECT id, depth FROM queues WHERE name = ?1";
        db.query_row(sql, [name], |r| Ok((r.get::<_, i64>(0)?, unsigned(r.get(1)?)))).optional()
    };
    if let Some(letters) = letters {
        status.dead_letters = depth(letters)?.map_or(0, |(_, depth)| depth);
    }
    let started = "SELECT coalesce(sum(count), 0) FROM started WHERE pipeline = ?1";
    let started: i64 = db.query_row(started, [id], |r| r.get(0))?;
    let queued = queue.map(depth).transpose()?.flatten();
    let Some((queue, depth)) = queued else {
        // What waits at a broker is the broker's to tell.
        status.in_flight = unsigned(started);
        return Ok(status);
    };
    let delayed =
        "SELECT count(*) FROM messages WHERE id >> 40 = ?1 AND visible_at > 0 AND visible_at > ?2";
    let delayed: i64 = db.query_row(delayed, params![queue, signed(now)], |r| r.get(0))?;
    status.delayed = unsigned(delayed).min(depth);
    status.in_flight = unsigned(started).min(depth - status.delayed);
    status.queued = depth - status.delayed - status.in_flight;
    Ok(status)
}

/// A name that this version does not know is another's: it counts nothing here.
fn counters(db: &Connection, pipeline: i64) -> rusqlite::Result<Counters> {
    let mut statement = db.prepare_cached("SELECT name, number FROM counters WHERE pipeline = ?1")?;
    let numbers = statement.query_map([pipeline], |r| {
        let (name, number) = (r.get::<_, String>(0)?, unsigned(r.get(1)?));
        Ok(Counter::parse(&name).map(|counter| (counter, number)))
    })?;
    numbers.filter_map(Result::transpose).collect()
}
