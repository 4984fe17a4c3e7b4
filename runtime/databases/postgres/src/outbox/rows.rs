//! Rows of the outbox: their numbers, and how they are read.

use crate::client::Fault;
use pelton_core::Headers;
use pelton_core::effects::{StagedMessage, Target, Waiting};
use tokio_postgres::Row;

/// Bits of a row's number that are the database's; the others are the target's.
const ROW_BITS: u32 = 48;

/// At most `$3` rows of the target `$1` behind row `$2`. Bodies are counted on the way: behind
/// 4 MiB of them, and the last beyond that, nothing more is sent.
pub(crate) const PAGE: &str = "SELECT o.id, o.message_id, o.topic, o.key, o.headers, o.body, o.delay_ms, \
    (extract(epoch FROM o.committed_at) * 1000)::int8 FROM (\
    SELECT p.*, sum(length(p.body)) OVER (ORDER BY p.id) - length(p.body) AS before FROM (\
    SELECT * FROM pelton_outbox WHERE target = $1 AND id > $2 ORDER BY id LIMIT $3) p) o \
    WHERE o.before < 4194304 ORDER BY o.id";

/// The number of a row, for relays and people.
pub(crate) fn number(target: Target, id: i64) -> u64 {
    let target = u64::try_from(target.0).unwrap_or_default();
    target << ROW_BITS | u64::try_from(id).unwrap_or_default()
}

/// The target of a row.
pub(crate) fn target_of(row: u64) -> Target {
    Target((row >> ROW_BITS).cast_signed())
}

/// Its number in the database.
pub(crate) fn id_of(row: u64) -> i64 {
    (row & ((1 << ROW_BITS) - 1)).cast_signed()
}

/// A message of a page.
pub(crate) fn waiting(row: &Row, target: Target) -> Result<Waiting, Fault> {
    let committed_at_ms = unsigned(row.try_get(7)?);
    let message = message(row, target)?;
    let due_at_ms = message.delay_ms.map(|delay| committed_at_ms.saturating_add(delay));
    Ok(Waiting { row: number(target, row.try_get(0)?), message, committed_at_ms, due_at_ms })
}

/// The message of a row whose columns from the second on are those of a page.
pub(crate) fn message(row: &Row, target: Target) -> Result<StagedMessage, Fault> {
    let headers: Option<&[u8]> = row.try_get(4)?;
    Ok(StagedMessage {
        target,
        id: row.try_get::<_, &str>(1)?.into(),
        topic: row.try_get(2)?,
        key: row.try_get(3)?,
        headers: Headers::of_bytes(headers.unwrap_or_default()).to_vec(),
        body: row.try_get(5)?,
        delay_ms: row.try_get::<_, Option<i64>>(6)?.map(unsigned),
    })
}

/// Where none is to be negative, one that is, is 0.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_target_and_number() {
        let row = number(Target(7), 9);
        assert_eq!((target_of(row), id_of(row)), (Target(7), 9));
        assert!(number(Target(7), 10) > row && id_of(0) == 0);
    }
}
