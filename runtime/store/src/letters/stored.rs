//! Letters in the table of the database.

use crate::numbers::{signed, unsigned};
use crate::queue::rows;
use pelton_core::letter::{LetterId, StoredLetter};
use rusqlite::{Connection, Row, params};

/// Which letters are meant.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// Only this one.
    pub id: Option<u64>,
    /// Only those of this cause.
    pub cause: Option<String>,
    /// Only those after this number: for paging.
    pub after: u64,
    /// Only those up to this one; none for all.
    pub until: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

pub fn list(db: &Connection, pipeline: i64, filter: &LetterFilter) -> rusqlite::Result<Vec<StoredLetter>> {
    let sql =
        "SELECT id, message_id, cause, failure, reason, attempts, handler, origin, key, headers, body,
               published_at, failed_at, tombstone FROM letters
               WHERE pipeline = ?1 AND id > ?2 AND (?6 IS NULL OR id <= ?6) AND (?3 IS NULL OR id = ?3) \
               AND (?4 IS NULL OR cause = ?4)
               ORDER BY id LIMIT ?5";
    let id = filter.id.map(signed);
    let wanted = params![
        pipeline,
        signed(filter.after),
        id,
        filter.cause,
        signed(filter.limit),
        filter.until.map(signed)
    ];
    let mut statement = db.prepare_cached(sql)?;
    let letters = statement.query_map(wanted, letter)?;
    letters.collect()
}

/// The number of the last one. Numbers are never given again.
pub fn last(db: &Connection, pipeline: i64) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT max(id) FROM letters WHERE pipeline = ?1";
    let id: Option<i64> = db.prepare_cached(sql)?.query_row([pipeline], |row| row.get(0))?;
    Ok(id.map(unsigned))
}

fn letter(row: &Row<'_>) -> rusqlite::Result<StoredLetter> {
    let headers = row.get_ref(9)?.as_blob_or_null()?;
    Ok(StoredLetter {
        id: LetterId::Number(unsigned(row.get(0)?)),
        message_id: row.get(1)?,
        cause: row.get(2)?,
        failure: row.get(3)?,
        reason: row.get(4)?,
        attempts: row.get(5)?,
        handler: row.get(6)?,
        origin: row.get(7)?,
        key: row.get(8)?,
        headers: rows::headers(headers).to_vec(),
        body: row.get(10)?,
        tombstone: row.get(13)?,
        published_at_ms: row.get::<_, Option<i64>>(11)?.map(unsigned),
        failed_at_ms: unsigned(row.get(12)?),
    })
}
