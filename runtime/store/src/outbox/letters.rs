//! Letters of the outbox: messages that their target has refused for good. They are kept here, whatever place
//! their pipeline has for its own letters, and go back to their target.

use super::rows;
use crate::numbers::{signed, unsigned};
use crate::queue::rows as messages;
use crate::{Store, StoreError};
use pelton_core::effects::{OutboxLetter, OutboxLetterFilter, StagedMessage, Target};
use rusqlite::{Connection, OptionalExtension, params};

impl Store {
    /// Letters of a pipeline's outbox that match, oldest first. Blocks, as all that follow do.
    pub fn outbox_letters(
        &self,
        pipeline: &str,
        filter: &OutboxLetterFilter,
    ) -> Result<Vec<OutboxLetter>, StoreError> {
        Ok(list(&self.db(), pipeline, filter)?)
    }

    /// The number of the last letter of a pipeline's outbox: what is refused later has a higher one.
    pub fn last_outbox_letter(&self, pipeline: &str) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT max(l.id) FROM targets t JOIN pipelines p ON p.id = t.pipeline
                   JOIN outbox_letters l ON l.target = t.id WHERE p.name = ?1";
        let last: Option<i64> = self.db().query_row(sql, [pipeline], |r| r.get(0))?;
        Ok(last.map(unsigned))
    }

    /// Puts letters back, in one transaction: into the outbox of their target, behind what waits there, or
    /// where that is a queue now, into it. They keep their ids, and wait no delay again. How many: another
    /// command may have taken some first.
    pub fn replay_outbox(&self, letters: &[u64]) -> Result<usize, StoreError> {
        let now = self.inner.options.clock.now_ms();
        let db = self.db();
        self.write(&db, |db| {
            let mut replayed = 0;
            for id in letters {
                replayed += usize::from(replay(db, *id, now)?);
            }
            Ok(replayed)
        })
    }

    /// Removes letters of the outbox for good; how many there were.
    pub fn purge_outbox_letters(&self, letters: &[u64]) -> Result<usize, StoreError> {
        let db = self.db();
        self.write(&db, |db| {
            let mut gone = 0;
            for id in letters {
                gone += usize::from(remove(db, *id)?.is_some());
            }
            Ok(gone)
        })
    }
}

fn list(
    db: &Connection,
    pipeline: &str,
    filter: &OutboxLetterFilter,
) -> rusqlite::Result<Vec<OutboxLetter>> {
    let sql = "SELECT l.id, l.message_id, l.topic, l.key, l.headers, l.body, l.delay_ms, l.committed_at,
               l.failed_at, l.reason, t.id, t.name
               FROM targets t JOIN pipelines p ON p.id = t.pipeline JOIN outbox_letters l ON l.target = t.id
               WHERE p.name = ?1 AND l.id > ?2 AND (?3 IS NULL OR l.id <= ?3) AND (?4 IS NULL OR l.id = ?4)
               AND (?5 IS NULL OR t.name = ?5) ORDER BY l.id LIMIT ?6";
    let wanted = params![
        pipeline,
        signed(filter.after),
        filter.until.map(signed),
        filter.id.map(signed),
        filter.target,
        signed(filter.limit)
    ];
    let mut statement = db.prepare_cached(sql)?;
    let letters = statement.query_map(wanted, |row| {
        Ok(OutboxLetter {
            id: unsigned(row.get(0)?),
            target: row.get(11)?,
            message: rows::message(row, Target(row.get(10)?))?,
            reason: row.get(9)?,
            committed_at_ms: unsigned(row.get(7)?),
            failed_at_ms: unsigned(row.get(8)?),
        })
    })?;
    letters.collect()
}

/// Takes a letter out; none when it is not there any more.
fn remove(db: &Connection, id: u64) -> rusqlite::Result<Option<StagedMessage>> {
    let sql = "DELETE FROM outbox_letters WHERE id = ?1
               RETURNING id, message_id, topic, key, headers, body, delay_ms, target";
    let message = |row: &rusqlite::Row<'_>| rows::message(row, Target(row.get(7)?));
    let removed = db.prepare_cached(sql)?.query_row([signed(id)], message).optional()?;
    if let Some(message) = &removed {
        let sql = "UPDATE targets SET letters = letters - 1 WHERE id = ?1";
        db.prepare_cached(sql)?.execute([message.target.0])?;
    }
    Ok(removed)
}

fn replay(db: &Connection, id: u64, now: u64) -> rusqlite::Result<bool> {
    let Some(message) = remove(db, id)? else { return Ok(false) };
    // What it waited for has passed.
    let message = StagedMessage { delay_ms: None, ..message };
    let sql = "SELECT queue FROM targets WHERE id = ?1";
    let queue: Option<i64> = db.prepare_cached(sql)?.query_row([message.target.0], |r| r.get(0))?;
    let (table, of) = queue.map_or(("targets", message.target.0), |queue| ("queues", queue));
    let sql = format!(
        "UPDATE {table} SET next_seq = next_seq + 1, depth = depth + 1 WHERE id = ?1 RETURNING next_seq - 1"
    );
    let seq: i64 = db.prepare_cached(&sql)?.query_row([of], |r| r.get(0))?;
    let row = messages::id(of, unsigned(seq));
    match queue {
        Some(_) => rows::put_in_queue(db, row, &message, now)?,
        None => rows::put(db, row, &message, now)?,
    }
    Ok(true)
}
