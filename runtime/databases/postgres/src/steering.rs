//! What operators want of the pipelines of a fleet: a row of `pelton_steering` for each ledger.

use crate::client::{Ask, DURABLE, Fault, Kind, QUICK, Session, Sessions, Typed};
use pelton_core::database::{SteeringChange, SteeringError};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const READ: &str = "SELECT s.words FROM unnest($1::text[]) WITH ORDINALITY AS l(ledger, place) \
    LEFT JOIN pelton_steering s ON s.ledger = l.ledger ORDER BY l.place";
const BEGIN: &str = "INSERT INTO pelton_steering (ledger, words) VALUES ($1, $2) \
    ON CONFLICT DO NOTHING RETURNING ledger";
const CHANGE: &str = "UPDATE pelton_steering SET words = $2, changed_at = now() \
    WHERE ledger = $1 AND words = $3 RETURNING ledger";
const END: &str = "DELETE FROM pelton_steering WHERE ledger = $1 AND words = $2 RETURNING ledger";
/// SQLSTATE of a table that is not there, and of one that this user may not use.
const NO_TABLE: [&str; 2] = ["42P01", "42501"];

/// For a worker: on a task, so that the exchange ends whatever becomes of who asks.
pub async fn read(
    sessions: &Arc<Sessions>,
    ledgers: Vec<Arc<str>>,
) -> Result<Vec<Option<String>>, SteeringError> {
    let exchanging = sessions.clone();
    let exchanged = sessions.server().runtime().spawn(async move {
        let ledgers: Vec<&str> = ledgers.iter().map(|ledger| &**ledger).collect();
        let ask = Ask { sql: READ, parameters: &[(&ledgers, Type::TEXT_ARRAY)] };
        let rows = exchanging.transaction(QUICK, &[ask]).await?;
        rows.into_iter().flatten().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<_>, Fault>>()
    });
    exchanged.await.unwrap_or_else(|_| Err(ending())).map_err(told)
}

/// The same of a change; whether it was made.
pub async fn steer(
    sessions: &Arc<Sessions>,
    ledger: Arc<str>,
    change: SteeringChange,
) -> Result<bool, SteeringError> {
    let exchanging = sessions.clone();
    let exchanged = sessions.server().runtime().spawn(async move {
        let Some((sql, words)) = statement(&change) else { return Ok(true) };
        let ledger = &*ledger;
        let parameters = parameters(&ledger, &words);
        let rows = exchanging.transaction(DURABLE, &[Ask { sql, parameters: &parameters }]).await?;
        Ok(rows.first().is_some_and(|rows| !rows.is_empty()))
    });
    exchanged.await.unwrap_or_else(|_| Err(ending())).map_err(told)
}

/// For a command.
pub async fn read_one(session: &Session, ledger: &str) -> Result<Option<String>, Fault> {
    let rows = session.client.query_typed(READ, &[(&vec![ledger], Type::TEXT_ARRAY)]).await?;
    Ok(rows.first().map(|row: &Row| row.try_get(0)).transpose()?.flatten())
}

/// The same of a change.
pub async fn steer_one(session: &Session, ledger: &str, change: &SteeringChange) -> Result<bool, Fault> {
    let Some((sql, words)) = statement(change) else { return Ok(true) };
    Ok(!session.client.query_typed(sql, &parameters(&ledger, &words)).await?.is_empty())
}

/// What makes a change, and its words; none where there is nothing to change.
fn statement(change: &SteeringChange) -> Option<(&'static str, Vec<&String>)> {
    match (&change.before, &change.after) {
        (None, None) => None,
        (None, Some(after)) => Some((BEGIN, vec![after])),
        (Some(before), Some(after)) => Some((CHANGE, vec![after, before])),
        (Some(before), None) => Some((END, vec![before])),
    }
}

fn parameters<'p>(ledger: &'p &str, words: &'p [&'p String]) -> Vec<Typed<'p>> {
    let mut all: Vec<Typed<'p>> = vec![(ledger, Type::TEXT)];
    all.extend(words.iter().map(|text| (text as _, Type::TEXT)));
    all
}

fn ending() -> Fault {
    Fault::new(Kind::Away, "this process is ending")
}

fn told(fault: Fault) -> SteeringError {
    let words = format!("{fault}; {}", fault.advice());
    match fault.code.as_deref() {
        Some(code) if NO_TABLE.contains(&code) => SteeringError::NoPlace(words),
        _ => SteeringError::Away(words),
    }
}
