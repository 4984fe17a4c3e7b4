//! Dead letters: how they end their message in the ledger, and how they are kept here with that.

mod reader;

pub use reader::PostgresLetterReader;

use crate::client::Typed;
use crate::ledger::{Key, Rows};
use pelton_core::Letter;
use tokio_postgres::types::Type;

/// The claim in the row of a message that became a letter without one.
pub const UNCLAIMED: i64 = 0;

/// Letters to keep, as `$6` to `$18`: columns, behind the parameters that say which rows end.
macro_rules! kept {
    () => {
        concat!(
            "kept AS (INSERT INTO pelton_letters (pipeline, attempts, published_at_ms, tombstone, ",
            "message_id, cause, failure, reason, handler, origin, key, headers, body) ",
            "SELECT $1, l.attempts, l.published_at_ms, l.tombstone, l.message_id, l.cause, l.failure, ",
            "l.reason, l.handler, l.origin, l.key, l.headers, l.body ",
            "FROM unnest($6::uuid[], $7::int4[], $8::int8[], $9::bool[], $10::text[], $11::text[], ",
            "$12::text[], $13::text[], $14::text[], $15::text[], $16::bytea[], $17::bytea[], $18::bytea[]) ",
            "WITH ORDINALITY AS l(row, attempts, published_at_ms, tombstone, message_id, cause, failure, ",
            "reason, handler, origin, key, headers, body, place) ",
            "JOIN ended e ON e.key = l.row ORDER BY l.place) SELECT key, claim FROM ended"
        )
    };
}

/// `$1` pipeline, `$2` keys, `$3` workers, `$4` claims, `$5` marks, `$6` to `$18` letters.
const CLAIMED: &str = concat!(
    "WITH ended AS (UPDATE pelton_processed p SET at = clock_timestamp(), attempts = 0, letter = m.mark, ",
    "state = CASE p.state WHEN 'r' THEN 'd'::\"char\" ELSE 'f'::\"char\" END ",
    "FROM unnest($2::uuid[], $3::int4[], $4::int8[], $5::uuid[]) AS m(key, worker, claim, mark) ",
    "WHERE p.pipeline = $1 AND p.key = m.key AND p.worker = m.worker AND p.claim = m.claim ",
    "AND p.state IN ('w', 'r') RETURNING p.key, p.claim), ",
    kept!()
);

/// `$1` pipeline, `$2` worker, `$3` the claim timeout, `$4` keys, `$5` marks, `$6` to `$18` letters. A row
/// that another worker has in work stays as it is, and so does one that says so already.
const UNCLAIMED_SQL: &str = concat!(
    "WITH ended AS (INSERT INTO pelton_processed AS p (at, claim, worker, attempts, pipeline, state, key, ",
    "letter) ",
    "SELECT clock_timestamp(), 0, $2, 0, $1, 'f', m.key, m.mark FROM unnest($4::uuid[], $5::uuid[]) AS ",
    "m(key, mark) ",
    "ON CONFLICT (pipeline, key) DO UPDATE SET at = excluded.at, claim = 0, worker = $2, attempts = 0, ",
    "state = 'f', ",
    "letter = excluded.letter WHERE (p.state = 'f' AND p.letter IS DISTINCT FROM excluded.letter) ",
    "OR (p.state = 'w' AND (p.worker = $2 OR NOT EXISTS (SELECT FROM pelton_workers w WHERE w.number = ",
    "p.worker ",
    "AND w.ended IS NULL ",
    "AND greatest(w.heartbeat, pg_postmaster_start_time()) >= now() - $3 * interval '1 ms'))) ",
    "RETURNING p.key, p.claim), ",
    kept!()
);

/// A message that becomes a letter without having been claimed.
#[derive(Debug, Clone, Copy)]
pub struct Unclaimed {
    /// The key of its row.
    pub key: Key,
    /// What is left of it.
    pub mark: Key,
}

/// Such messages, as columns.
pub struct Marked {
    keys: Vec<Key>,
    marks: Vec<Key>,
}

impl Marked {
    /// Of these.
    pub fn of(letters: &[&Unclaimed]) -> Self {
        Self {
            keys: letters.iter().map(|letter| letter.key).collect(),
            marks: letters.iter().map(|letter| letter.mark).collect(),
        }
    }
}

/// Letters to keep, as columns. Without any, letters only end their messages.
#[derive(Default)]
pub struct Columns<'l> {
    rows: Vec<Key>,
    attempts: Vec<i32>,
    published: Vec<Option<i64>>,
    tombstones: Vec<bool>,
    ids: Vec<String>,
    causes: Vec<&'static str>,
    failures: Vec<&'static str>,
    reasons: Vec<String>,
    handlers: Vec<&'l str>,
    origins: Vec<String>,
    keys: Vec<Option<&'l [u8]>>,
    headers: Vec<&'l [u8]>,
    bodies: Vec<&'l [u8]>,
}

impl<'l> Columns<'l> {
    /// Of letters, by the keys of their rows.
    pub fn of(letters: impl Iterator<Item = &'l (Key, Box<Letter>)>) -> Self {
        let mut columns = Self::default();
        for (row, letter) in letters {
            let message = &letter.message;
            columns.rows.push(*row);
            columns.attempts.push(i32::try_from(letter.attempts).unwrap_or(i32::MAX));
            columns.published.push(message.published_at_ms().and_then(|ms| i64::try_from(ms).ok()));
            columns.tombstones.push(message.tombstone());
            columns.ids.push(text(&message.id().text()));
            columns.causes.push(letter.cause.as_str());
            columns.failures.push(letter.failure.as_str());
            columns.reasons.push(text(&letter.reason));
            columns.handlers.push(&letter.handler);
            columns.origins.push(text(message.origin()));
            columns.keys.push(message.key());
            columns.headers.push(message.headers().bytes());
            columns.bodies.push(message.body());
        }
        columns
    }

    /// What ends claims with a letter.
    pub fn claimed_sql(&self) -> &'static str {
        CLAIMED
    }

    /// What ends messages with a letter that were not claimed.
    pub fn unclaimed_sql(&self) -> &'static str {
        UNCLAIMED_SQL
    }

    /// The parameters of the first.
    pub fn of_claimed<'p>(
        &'p self,
        rows: &'p Rows,
        marks: &'p Vec<Key>,
        pipeline: &'p i16,
    ) -> Vec<Typed<'p>> {
        let mut all = rows.parameters(pipeline);
        all.push((marks as _, Type::UUID_ARRAY));
        all.extend(self.parameters());
        all
    }

    /// The parameters of the second: pipeline, worker and claim timeout first.
    pub fn of_unclaimed<'p>(
        &'p self,
        marked: &'p Marked,
        (pipeline, worker, timeout): (&'p i16, &'p i32, &'p f64),
    ) -> Vec<Typed<'p>> {
        let mut all: Vec<Typed<'p>> = vec![
            (pipeline as _, Type::INT2),
            (worker as _, Type::INT4),
            (timeout as _, Type::FLOAT8),
            (&marked.keys as _, Type::UUID_ARRAY),
            (&marked.marks as _, Type::UUID_ARRAY),
        ];
        all.extend(self.parameters());
        all
    }

    fn parameters(&self) -> [Typed<'_>; 13] {
        [
            (&self.rows as _, Type::UUID_ARRAY),
            (&self.attempts as _, Type::INT4_ARRAY),
            (&self.published as _, Type::INT8_ARRAY),
            (&self.tombstones as _, Type::BOOL_ARRAY),
            (&self.ids as _, Type::TEXT_ARRAY),
            (&self.causes as _, Type::TEXT_ARRAY),
            (&self.failures as _, Type::TEXT_ARRAY),
            (&self.reasons as _, Type::TEXT_ARRAY),
            (&self.handlers as _, Type::TEXT_ARRAY),
            (&self.origins as _, Type::TEXT_ARRAY),
            (&self.keys as _, Type::BYTEA_ARRAY),
            (&self.headers as _, Type::BYTEA_ARRAY),
            (&self.bodies as _, Type::BYTEA_ARRAY),
        ]
    }
}

/// The database has no character of the number 0 in a text.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
