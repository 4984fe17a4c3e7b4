//! Claims: those of all chunks that have arrived, in one statement.
//!
//! New rows are inserted, and those that are there already are read with it, in one exchange. Only where some
//! of these can be had is there a second one: it takes each that is still as it was read, so nobody waits for
//! a lock while anybody thinks.

use super::judge::{CHANGING_MS, Claimant, Found, Judged, Owner, Take, judge, recorded};
use super::lane::Weighs;
use super::{Held, Key, PipelineLedger};
use crate::client::{Ask, Fault, QUICK};
use crate::points;
use pelton_core::ports::{Claim, ClaimItem, ErrorClass, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const CLAIM: &str = "WITH asked AS (\
    SELECT * FROM unnest($3::uuid[], $4::int8[], $5::int4[]) AS m(key, claim, attempts)\
    ), made AS (\
    INSERT INTO pelton_processed (at, claim, worker, attempts, pipeline, state, key) \
    SELECT clock_timestamp(), m.claim, $2, m.attempts, $1, 'w', m.key FROM asked m \
    ON CONFLICT (pipeline, key) DO NOTHING RETURNING key) \
    SELECT key, (extract(epoch FROM now()) * 1000)::int8, NULL::\"char\", 0, 0::int8, 0, NULL::uuid, \
    NULL::text, false FROM made UNION ALL \
    SELECT p.key, (extract(epoch FROM now()) * 1000)::int8, p.state, p.worker, p.claim, p.attempts, \
    p.letter, w.ended, \
    coalesce(greatest(w.heartbeat, pg_postmaster_start_time()) < now() - $6 * interval '1 ms', true) \
    FROM asked m JOIN pelton_processed p ON p.pipeline = $1 AND p.key = m.key \
    LEFT JOIN pelton_workers w ON w.number = p.worker";

const TAKE: &str = "UPDATE pelton_processed p \
    SET at = clock_timestamp(), claim = m.claim, worker = $2, attempts = m.attempts, state = m.state \
    FROM unnest($3::uuid[], $4::int8[], $5::int4[], $6::\"char\"[], $7::int4[], $8::int8[], $9::\"char\"[]) \
    AS m(key, claim, attempts, state, had_worker, had_claim, had_state) \
    WHERE p.pipeline = $1 AND p.key = m.key AND p.worker = m.had_worker AND p.claim = m.had_claim \
    AND p.state = m.had_state RETURNING p.key, (extract(epoch FROM now()) * 1000)::int8";

/// A chunk that is to be claimed.
pub struct ClaimJob {
    /// Its messages.
    pub items: Vec<ClaimItem>,
    /// They may be suspects.
    pub alone: bool,
    /// What is completed is handled again.
    pub redo: bool,
    /// Who waits.
    pub answer: oneshot::Sender<Result<Vec<Verdict>, ErrorClass>>,
}

impl Weighs for ClaimJob {
    fn items(&self) -> usize {
        self.items.len()
    }
}

/// One message of a group.
struct Asked {
    key: Key,
    claim: Claim,
    /// The claim's number in the table: that of its chunk.
    number: i64,
    who: Claimant,
    verdict: Verdict,
}

/// What a row that is there is known by, besides what is judged.
#[derive(Clone, Copy)]
struct Had {
    worker: i32,
    claim: i64,
    state: i8,
}

/// Claims a group.
pub async fn claim(shared: Arc<PipelineLedger>, jobs: Vec<ClaimJob>) {
    points::reach("database-claiming");
    let (mut asked, chunks) = flatten(&shared, &jobs);
    // Of two with one key in a group the second waits for the first.
    let mut first: HashMap<Key, usize> = HashMap::with_capacity(asked.len());
    for (at, one) in asked.iter().enumerate() {
        first.entry(one.key).or_insert(at);
    }
    let mut order: Vec<usize> = first.into_values().collect();
    order.sort_unstable_by_key(|at| asked[*at].key);
    let result = ask(&shared, &mut asked, &order).await;
    points::reach("database-claimed");
    let failed = result.map_err(|fault| shared.sessions.server().failed(&fault)).err();
    if failed.is_some() {
        never_told(&shared, &asked);
    }
    let mut asked = asked.into_iter();
    for (job, size) in jobs.into_iter().zip(chunks) {
        let these: Vec<Asked> = asked.by_ref().take(size).collect();
        let verdicts = these.iter().map(|one| one.verdict).collect();
        if job.answer.send(failed.map_or(Ok(verdicts), Err)).is_err() {
            never_told(&shared, &these);
        }
    }
}

/// Whoever asked has no answer, and starts nothing: what was granted has counted nothing when it is asked
/// again.
fn never_told(shared: &PipelineLedger, asked: &[Asked]) {
    shared.unanswered.add(asked.iter().map(|one| (one.key, one.number)));
    asked.iter().for_each(|one| shared.live.end(one.claim));
}

fn flatten(shared: &PipelineLedger, jobs: &[ClaimJob]) -> (Vec<Asked>, Vec<usize>) {
    let mut asked = Vec::with_capacity(jobs.iter().map(|job| job.items.len()).sum());
    let dedup = shared.wants.expires_after_ms.is_some();
    for job in jobs {
        let number = shared.incarnation.next_claim();
        let single = job.items.len() == 1;
        for (index, item) in (0u32..).zip(&job.items) {
            let who = Claimant {
                mark: Key::mark(&item.message),
                proven: item.attempts,
                alone: job.alone,
                single,
                redo: job.redo,
                dedup,
            };
            asked.push(Asked {
                key: Key::of(item.scope.as_deref(), Some(item.identity), &item.message),
                claim: Claim { chunk: number.unsigned_abs(), index },
                number,
                who,
                verdict: Verdict::Elsewhere { wait_ms: CHANGING_MS },
            });
        }
    }
    (asked, jobs.iter().map(|job| job.items.len()).collect())
}

async fn ask(shared: &PipelineLedger, asked: &mut [Asked], order: &[usize]) -> Result<(), Fault> {
    let worker = shared.incarnation.number(shared.wants.claim_timeout_ms).await?;
    let pipeline = shared.number().await?;
    let keys: Vec<Key> = order.iter().map(|at| asked[*at].key).collect();
    let numbers: Vec<i64> = order.iter().map(|at| asked[*at].number).collect();
    let new = |at: &usize| recorded(0, asked[*at].who.proven.saturating_add(1), asked[*at].who.single);
    let attempts: Vec<i32> = order.iter().map(new).collect();
    let timeout = i64::try_from(shared.wants.claim_timeout_ms).unwrap_or(i64::MAX) as f64;
    let parameters = [
        (&pipeline as _, Type::INT2),
        (&worker as _, Type::INT4),
        (&keys as _, Type::UUID_ARRAY),
        (&numbers as _, Type::INT8_ARRAY),
        (&attempts as _, Type::INT4_ARRAY),
        (&timeout as _, Type::FLOAT8),
    ];
    let rows = shared.sessions.transaction(QUICK, &[Ask { sql: CLAIM, parameters: &parameters }]).await?;
    let places: HashMap<Key, usize> = order.iter().map(|at| (asked[*at].key, *at)).collect();
    let mut takes = Vec::new();
    for row in rows.into_iter().flatten() {
        let key: Key = row.try_get(0)?;
        let Some(at) = places.get(&key).copied() else { continue };
        let one = &mut asked[at];
        let Some((found, had)) = found(shared, worker, &key, &row)? else {
            let attempt = one.who.proven.saturating_add(1);
            grant(shared, one, worker, row.try_get(1)?, &Granted::first(attempt, one.who.single));
            continue;
        };
        match judge(&found, &one.who) {
            Judged::No(verdict) => one.verdict = verdict,
            Judged::Take(take) => takes.push((at, take, had)),
        }
    }
    if takes.is_empty() { Ok(()) } else { take_all(shared, asked, takes, (pipeline, worker)).await }
}

/// A row that was there, with whose it is; none of one that was made.
fn found(shared: &PipelineLedger, me: i32, key: &Key, row: &Row) -> Result<Option<(Found, Had)>, Fault> {
    let Some(state) = row.try_get::<_, Option<i8>>(2)? else { return Ok(None) };
    let had = Had { worker: row.try_get(3)?, claim: row.try_get(4)?, state };
    let ended: Option<&str> = row.try_get(7)?;
    let owner = match ended {
        _ if had.worker == me && shared.unanswered.contains(key, had.claim) => Owner::Unanswered,
        _ if had.worker == me => Owner::Mine,
        Some("closed") => Owner::Closed,
        Some(_) => Owner::Died,
        None if row.try_get(8)? => Owner::Died,
        None => Owner::Alive,
    };
    Ok(Some((Found { state, attempts: row.try_get(5)?, letter: row.try_get(6)?, owner }, had)))
}

async fn take_all(
    shared: &PipelineLedger,
    asked: &mut [Asked],
    mut takes: Vec<(usize, Take, Had)>,
    (pipeline, worker): (i16, i32),
) -> Result<(), Fault> {
    takes.sort_unstable_by_key(|(at, ..)| asked[*at].key);
    let keys: Vec<Key> = takes.iter().map(|(at, ..)| asked[*at].key).collect();
    let numbers: Vec<i64> = takes.iter().map(|(at, ..)| asked[*at].number).collect();
    let attempts: Vec<i32> = takes.iter().map(|(_, take, _)| take.attempts).collect();
    let states: Vec<i8> = takes.iter().map(|(_, take, _)| take.state).collect();
    let workers: Vec<i32> = takes.iter().map(|(.., had)| had.worker).collect();
    let claims: Vec<i64> = takes.iter().map(|(.., had)| had.claim).collect();
    let had: Vec<i8> = takes.iter().map(|(.., had)| had.state).collect();
    let parameters = [
        (&pipeline as _, Type::INT2),
        (&worker as _, Type::INT4),
        (&keys as _, Type::UUID_ARRAY),
        (&numbers as _, Type::INT8_ARRAY),
        (&attempts as _, Type::INT4_ARRAY),
        (&states as _, Type::CHAR_ARRAY),
        (&workers as _, Type::INT4_ARRAY),
        (&claims as _, Type::INT8_ARRAY),
        (&had as _, Type::CHAR_ARRAY),
    ];
    let rows = shared.sessions.transaction(QUICK, &[Ask { sql: TAKE, parameters: &parameters }]).await?;
    let mut taken: HashMap<Key, i64> = HashMap::new();
    for row in rows.into_iter().flatten() {
        taken.insert(row.try_get(0)?, row.try_get(1)?);
    }
    for (at, take, _) in takes {
        let one = &mut asked[at];
        if let Some(at_ms) = taken.get(&one.key) {
            let granted = Granted {
                before: take.before,
                attempts: take.attempts,
                attempt: take.attempt,
                crashed: take.crashed,
            };
            grant(shared, one, worker, *at_ms, &granted);
        }
    }
    Ok(())
}

struct Granted {
    before: i32,
    attempts: i32,
    attempt: u32,
    crashed: bool,
}

impl Granted {
    fn first(attempt: u32, single: bool) -> Self {
        Self { before: 0, attempts: recorded(0, attempt, single), attempt, crashed: false }
    }
}

fn grant(shared: &PipelineLedger, one: &mut Asked, worker: i32, claimed_at_ms: i64, granted: &Granted) {
    let Granted { before, attempts, attempt, crashed } = *granted;
    let held = Held { key: one.key, worker, claim: one.number, claimed_at_ms, before, attempts };
    shared.live.add(one.claim, held);
    shared.unanswered.remove(&one.key);
    one.verdict = Verdict::Fresh { claim: one.claim, attempt, crashed };
}
