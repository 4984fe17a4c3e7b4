//! Letters that are kept here, as commands see them.

use crate::client::{Blocking, Fault};
use pelton_core::broker::{LetterQuery, LetterReader, OpenError};
use pelton_core::letter::{LetterId, StoredLetter};
use pelton_core::message::Headers;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const LAST: &str = "SELECT coalesce(max(id), 0) FROM pelton_letters \
    WHERE pipeline = (SELECT number FROM pelton_pipelines WHERE name = $1)";

const PAGE: &str = "SELECT id, message_id, cause, failure, reason, attempts, handler, origin, key, headers, \
    body, \
    tombstone, published_at_ms, (extract(epoch FROM failed_at) * 1000)::int8 FROM pelton_letters \
    WHERE pipeline = (SELECT number FROM pelton_pipelines WHERE name = $1) AND id > $2 AND id <= $3 \
    AND ($4::text IS NULL OR cause = $4) ORDER BY id LIMIT $5";

const REMOVE: &str = "DELETE FROM pelton_letters \
    WHERE pipeline = (SELECT number FROM pelton_pipelines WHERE name = $1) AND id = ANY($2::int8[]) \
    RETURNING id";

/// Walks through the letters of one ledger, oldest first.
pub struct PostgresLetterReader {
    db: Blocking,
    ledger: String,
    query: LetterQuery,
    /// The walk goes on behind this one, and ends with that one.
    after: i64,
    last: i64,
}

impl PostgresLetterReader {
    /// Of a ledger.
    pub fn new(db: Blocking, ledger: &str) -> Self {
        Self { db, ledger: ledger.to_owned(), query: LetterQuery::default(), after: 0, last: 0 }
    }
}

impl LetterReader for PostgresLetterReader {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        let ledger = &self.ledger;
        let last = self.db.ask(async move |session| {
            let rows = session.client.query_typed(LAST, &[(ledger, Type::TEXT)]).await?;
            Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
        })?;
        self.query = query.clone();
        (self.after, self.last) = match &query.id {
            None => (0, last),
            Some(LetterId::Number(number)) => {
                // One that is meant, and none if there cannot be such a one.
                let id = i64::try_from(*number).unwrap_or(i64::MAX);
                (id.saturating_sub(1), id.min(last))
            }
            Some(LetterId::Place { .. } | LetterId::Message(_)) => (last, last),
        };
        Ok(())
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
        let (ledger, cause, after, last) = (&self.ledger, &self.query.cause, self.after, self.last);
        let page = self.db.ask(async move |session| {
            let parameters = [
                (ledger as _, Type::TEXT),
                (&after as _, Type::INT8),
                (&last as _, Type::INT8),
                (cause as _, Type::TEXT),
                (&limit as _, Type::INT8),
            ];
            let rows = session.client.query_typed(PAGE, &parameters).await?;
            rows.iter().map(letter).collect::<Result<Vec<_>, Fault>>()
        })?;
        if let Some(LetterId::Number(number)) = page.last().map(|letter| &letter.id) {
            self.after = i64::try_from(*number).unwrap_or(i64::MAX);
        }
        Ok(page)
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        let id = |letter: &StoredLetter| match letter.id {
            LetterId::Number(number) => i64::try_from(number).ok(),
            LetterId::Place { .. } | LetterId::Message(_) => None,
        };
        let ids: Vec<i64> = letters.iter().filter_map(id).collect();
        let (ledger, ids) = (&self.ledger, &ids);
        self.db.ask(async move |session| {
            let parameters = [(ledger as _, Type::TEXT), (ids as _, Type::INT8_ARRAY)];
            let gone = session.client.query_typed(REMOVE, &parameters).await?;
            Ok(gone.len() as u64)
        })
    }
}

fn letter(row: &Row) -> Result<StoredLetter, Fault> {
    let (id, attempts, failed_at_ms): (i64, i32, i64) =
        (row.try_get(0)?, row.try_get(5)?, row.try_get(13)?);
    let published: Option<i64> = row.try_get(12)?;
    let headers: &[u8] = row.try_get(9)?;
    Ok(StoredLetter {
        id: LetterId::Number(u64::try_from(id).unwrap_or(0)),
        message_id: row.try_get(1)?,
        cause: row.try_get(2)?,
        failure: row.try_get(3)?,
        reason: row.try_get(4)?,
        attempts: u32::try_from(attempts).unwrap_or(0),
        handler: row.try_get(6)?,
        origin: row.try_get(7)?,
        key: row.try_get(8)?,
        headers: Headers::of_bytes(headers).to_vec(),
        body: row.try_get(10)?,
        tombstone: row.try_get(11)?,
        published_at_ms: published.and_then(|ms| u64::try_from(ms).ok()),
        failed_at_ms: u64::try_from(failed_at_ms).unwrap_or(0),
    })
}
