//! Letters of the outbox: messages that their target has refused for good. They stay with the outbox.

use super::rows::{message, unsigned};
use crate::client::Fault;
use pelton_core::effects::{OutboxLetter, Target};
use tokio_postgres::Row;

/// Of the ledger `$1`: behind number `$2`, up to `$3`, only `$4`, of the target `$5`, at most `$6`.
pub(crate) const LETTERS: &str = "SELECT l.id, l.message_id, l.topic, l.key, l.headers, l.body, NULL::int8, \
    (extract(epoch FROM l.committed_at) * 1000)::int8, (extract(epoch FROM l.failed_at) * 1000)::int8, \
    l.reason, t.id, t.name FROM pelton_targets t JOIN pelton_outbox_letters l ON l.target = t.id \
    WHERE t.ledger = $1 AND l.id > $2 AND ($3::int8 IS NULL OR l.id <= $3) AND ($4::int8 IS NULL OR l.id \
    = $4) \
    AND ($5::text IS NULL OR t.name = $5) ORDER BY l.id LIMIT $6";
pub(crate) const LAST_LETTER: &str = "SELECT max(l.id) FROM pelton_targets t \
    JOIN pelton_outbox_letters l ON l.target = t.id WHERE t.ledger = $1";
/// What they waited for has passed: no delay is kept.
pub(crate) const REPLAY: &str = "WITH gone AS (DELETE FROM pelton_outbox_letters WHERE id = ANY ($1) \
    RETURNING *), \
    put AS (INSERT INTO pelton_outbox (target, message_id, topic, key, headers, body) \
    SELECT target, message_id, topic, key, headers, body FROM gone ORDER BY id) SELECT count(*) FROM gone";
pub(crate) const PURGE_LETTERS: &str = "WITH gone AS (DELETE FROM pelton_outbox_letters WHERE id = ANY \
    ($1) RETURNING id) SELECT count(*) FROM gone";

/// A row of `LETTERS`.
pub(crate) fn letter(row: &Row) -> Result<OutboxLetter, Fault> {
    Ok(OutboxLetter {
        id: unsigned(row.try_get(0)?),
        target: row.try_get(11)?,
        message: message(row, Target(row.try_get(10)?))?,
        reason: row.try_get(9)?,
        committed_at_ms: unsigned(row.try_get(7)?),
        failed_at_ms: unsigned(row.try_get(8)?),
    })
}
