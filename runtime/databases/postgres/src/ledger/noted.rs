//! The names of ledgers: each is noted with its source, so that two that read different things never share
//! one.

use crate::client::{Ask, DURABLE, Fault, Kind, Sessions};
use pelton_core::database::DatabaseUse;
use pelton_core::shown::shown;
use tokio_postgres::types::Type;

const KNOWN: &str =
    "SELECT number, source, kept = $2 * interval '1 ms' FROM pelton_pipelines WHERE name = $1";
const NOTE: &str = "INSERT INTO pelton_pipelines (name, source, kept) VALUES ($1, $3, $2 * interval '1 ms') \
    ON CONFLICT (name) DO NOTHING RETURNING number, source, true";
const KEEP: &str = "UPDATE pelton_pipelines SET kept = $2 * interval '1 ms' WHERE name = $1";

/// Without deduplication a completed row is of use only as long as a commit may be in doubt, or a worker that
/// stood still may come back.
const SHORTEST_MS: u64 = 600_000;

/// How long completed rows are kept, in milliseconds.
pub fn kept_ms(wants: &DatabaseUse) -> u64 {
    wants.expires_after_ms.unwrap_or(0).max(wants.claim_timeout_ms.saturating_mul(2)).max(
        match wants.expires_after_ms {
            Some(_) => 0,
            None => SHORTEST_MS,
        },
    )
}

/// Notes the name of a ledger; its number.
///
/// # Errors
/// The database is away, or the name is of another source.
pub async fn note(sessions: &Sessions, wants: &DatabaseUse) -> Result<i16, Fault> {
    let name = &*wants.ledger;
    let kept = i64::try_from(kept_ms(wants)).unwrap_or(i64::MAX) as f64;
    let two = [(&name as _, Type::TEXT), (&kept as _, Type::FLOAT8)];
    let three = [(&name as _, Type::TEXT), (&kept as _, Type::FLOAT8), (&wants.source as _, Type::TEXT)];
    for _ in 0..2 {
        let mut rows = sessions.transaction(DURABLE, &[Ask { sql: KNOWN, parameters: &two }]).await?;
        if rows.iter().all(Vec::is_empty) {
            rows = sessions.transaction(DURABLE, &[Ask { sql: NOTE, parameters: &three }]).await?;
        }
        let Some(row) = rows.iter().flatten().next() else { continue };
        let (number, source, is_kept): (i16, String, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if source != wants.source {
            return Err(Fault::new(Kind::Refused, other_source(wants, &source)));
        }
        if !is_kept {
            sessions.transaction(DURABLE, &[Ask { sql: KEEP, parameters: &two }]).await?;
        }
        return Ok(number);
    }
    Err(Fault::new(Kind::Statement, "the name of the ledger comes and goes"))
}

/// What to say of a name that is another source's.
pub fn other_source(wants: &DatabaseUse, source: &str) -> String {
    format!(
        "the ledger `{}` is of {}, and this pipeline reads {}: what one has completed would be a duplicate \
         of \
         the other; give this one a name of its own there with `ledger.name`",
        shown(&*wants.ledger),
        shown(source),
        shown(&wants.source)
    )
}
