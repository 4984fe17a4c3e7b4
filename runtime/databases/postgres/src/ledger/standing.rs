//! How rows stand that did not match, or whose commit was not answered.

use super::ending::Rows;
use super::{Held, Key, PipelineLedger};
use crate::client::{Ask, DURABLE, Fault, Kind};
use crate::letters::Unclaimed;
use pelton_core::ports::ErrorClass;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio_postgres::types::Type;

/// Waits for whoever has a row locked: an old connection of ours may still be committing.
const SELECT_ROWS: &str = "SELECT p.key, p.worker, p.claim, p.state, p.letter FROM pelton_processed p \
    JOIN unnest($2::uuid[]) AS m(key) ON p.key = m.key WHERE p.pipeline = $1 ORDER BY p.key FOR UPDATE OF p";

/// A claim that the database has lost, which nobody can have taken over yet: with its own numbers again.
const RESTORE: &str = "INSERT INTO pelton_processed (at, claim, worker, attempts, pipeline, state, key) \
    SELECT clock_timestamp(), m.claim, m.worker, CASE WHEN $7 THEN 0 ELSE m.attempts END, $1, \
    CASE WHEN $7 THEN 'd'::\"char\" ELSE 'w'::\"char\" END, m.key \
    FROM unnest($2::uuid[], $3::int4[], $4::int8[], $5::int4[], $6::int8[]) \
    AS m(key, worker, claim, attempts, claimed_at_ms) \
    WHERE m.claimed_at_ms > (extract(epoch FROM now()) * 1000)::int8 - $8 \
    ON CONFLICT (pipeline, key) DO NOTHING RETURNING key";

/// How often a commit that was not answered is looked after before the core is told to ask again.
const LOOKS: u32 = 5;

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimStanding {
    /// It was ended, by us.
    Ended,
    /// It is live.
    Live,
    /// Another has it, or had it since.
    Elsewhere,
    /// There is no such row.
    Gone,
}

/// How claims stand, in their order.
pub async fn standings(shared: &PipelineLedger, held: &[Held]) -> Result<Vec<ClaimStanding>, Fault> {
    let pipeline = shared.number().await?;
    let mut keys: Vec<Key> = held.iter().map(|held| held.key).collect();
    keys.sort_unstable();
    let parameters = [(&pipeline as _, Type::INT2), (&keys as _, Type::UUID_ARRAY)];
    let rows =
        shared.sessions.transaction(DURABLE, &[Ask { sql: SELECT_ROWS, parameters: &parameters }]).await?;
    let mut known = HashMap::new();
    for row in rows.into_iter().flatten() {
        let (worker, claim, state): (i32, i64, i8) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        known.insert(
            row.try_get::<_, Key>(0)?,
            (worker, claim, matches!(state.cast_unsigned(), b'w' | b'r')),
        );
    }
    let of = |held: &Held| match known.get(&held.key) {
        None => ClaimStanding::Gone,
        Some((worker, claim, _)) if (*worker, *claim) != (held.worker, held.claim) => {
            ClaimStanding::Elsewhere
        }
        Some((.., true)) => ClaimStanding::Live,
        Some((.., false)) => ClaimStanding::Ended,
    };
    Ok(held.iter().map(of).collect())
}

/// Puts claims back that the database has lost, as done or as live; whether each was.
pub async fn restore(shared: &PipelineLedger, held: &[Held], done: bool) -> Result<Vec<bool>, Fault> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let pipeline = shared.number().await?;
    let mut sorted: Vec<&Held> = held.iter().collect();
    sorted.sort_by_key(|held| held.key);
    let rows = Rows::of(sorted.iter().copied());
    let attempts: Vec<i32> = sorted.iter().map(|held| held.attempts).collect();
    let claimed_at_ms: Vec<i64> = sorted.iter().map(|held| held.claimed_at_ms).collect();
    let timeout = i64::try_from(shared.wants.claim_timeout_ms).unwrap_or(i64::MAX);
    let mut parameters = rows.parameters(&pipeline);
    parameters.extend([
        (&attempts as _, Type::INT4_ARRAY),
        (&claimed_at_ms as _, Type::INT8_ARRAY),
        (&done as _, Type::BOOL),
        (&timeout as _, Type::INT8),
    ]);
    let rows =
        shared.sessions.transaction(DURABLE, &[Ask { sql: RESTORE, parameters: &parameters }]).await?;
    let back = rows.iter().flatten().map(|row| row.try_get(0)).collect::<Result<HashSet<Key>, _>>()?;
    Ok(held.iter().map(|held| back.contains(&held.key)).collect())
}

/// Those of these letters whose rows say that nothing is left to be done: they have it, or the message is
/// done.
pub async fn settled(shared: &PipelineLedger, letters: &[&Unclaimed]) -> Result<HashSet<Key>, Fault> {
    let pipeline = shared.number().await?;
    let mut keys: Vec<Key> = letters.iter().map(|letter| letter.key).collect();
    keys.sort_unstable();
    let parameters = [(&pipeline as _, Type::INT2), (&keys as _, Type::UUID_ARRAY)];
    let rows =
        shared.sessions.transaction(DURABLE, &[Ask { sql: SELECT_ROWS, parameters: &parameters }]).await?;
    let marks: HashMap<Key, Key> = letters.iter().map(|letter| (letter.key, letter.mark)).collect();
    let mut all = HashSet::new();
    for row in rows.into_iter().flatten() {
        let (key, state, letter): (Key, i8, Option<Key>) =
            (row.try_get(0)?, row.try_get(3)?, row.try_get(4)?);
        let is_done = matches!(state.cast_unsigned(), b'd' | b'r');
        if is_done || (state.cast_unsigned() == b'f' && letter == marks.get(&key).copied()) {
            all.insert(key);
        }
    }
    Ok(all)
}

impl PipelineLedger {
    /// How the claims of one call stand whose commit was not answered: `Ok` when they were completed,
    /// `Conflict` when they are ours still, `LeaseLost` when somebody has taken one over, `Transient` when
    /// the database does not say. Waits for a transaction that is still being committed.
    pub async fn standing(&self, rows: &[Held]) -> Result<(), ErrorClass> {
        let mut last = ErrorClass::Transient;
        for tries in 0..LOOKS {
            match self.stand(rows).await {
                Ok(known) => return known,
                Err(fault) => last = self.sessions.server().failed(&fault),
            }
            tokio::time::sleep(Duration::from_millis(50 << tries)).await;
        }
        Err(last)
    }

    async fn stand(&self, rows: &[Held]) -> Result<Result<(), ErrorClass>, Fault> {
        let all = standings(self, rows).await?;
        if all.iter().all(|standing| *standing == ClaimStanding::Ended) {
            return Ok(Ok(()));
        }
        if all.contains(&ClaimStanding::Elsewhere) {
            return Ok(Err(ErrorClass::LeaseLost));
        }
        let gone: Vec<Held> = rows
            .iter()
            .zip(&all)
            .filter(|(_, of)| **of == ClaimStanding::Gone)
            .map(|(row, _)| *row)
            .collect();
        let back = restore(self, &gone, false).await?;
        if back.contains(&false) {
            return Ok(Err(ErrorClass::LeaseLost));
        }
        if all.contains(&ClaimStanding::Ended) {
            // They commit together or not at all: only a hand in the table does that.
            return Err(Fault::new(Kind::Statement, "a part of the messages of one call is completed"));
        }
        Ok(Err(ErrorClass::Conflict))
    }
}
