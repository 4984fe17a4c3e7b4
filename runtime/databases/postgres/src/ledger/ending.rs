//! How claims end without effects: completed, released, or with a letter. All that have arrived end in one
//! transaction.

use super::lane::Weighs;
use super::standing::{ClaimStanding, standings};
use super::{Held, Key, PipelineLedger};
use crate::client::{Ask, DURABLE, Fault, Kind, Typed};
use crate::letters::{Columns, Marked, UNCLAIMED, Unclaimed};
use crate::points;
use pelton_core::Letter;
use pelton_core::ports::{BoxFuture, Claim, ErrorClass};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Completes rows inside a transaction: `$1` the number of the pipeline, `$2` keys, `$3` workers, `$4`
/// claims, sorted by key. It gives the keys that were completed: fewer than were asked means that a claim is
/// lost, and the transaction must not commit.
pub const COMPLETE: &str = "UPDATE pelton_processed p \
    SET state = 'd', at = clock_timestamp(), attempts = 0, letter = NULL \
    FROM unnest($2::uuid[], $3::int4[], $4::int8[]) AS m(key, worker, claim) \
    WHERE p.pipeline = $1 AND p.key = m.key AND p.worker = m.worker AND p.claim = m.claim \
    AND p.state IN ('w', 'r') RETURNING p.key, p.claim";

/// `$5` attempts from then on, `$6` whether the start counts. Of what was never started before nothing stays.
const RELEASE: &str = "WITH asked AS (\
    SELECT * FROM unnest($2::uuid[], $3::int4[], $4::int8[], $5::int4[], $6::bool[]) \
    AS m(key, worker, claim, attempts, counts)), gone AS (\
    DELETE FROM pelton_processed p USING asked m \
    WHERE p.pipeline = $1 AND p.key = m.key AND p.worker = m.worker AND p.claim = m.claim \
    AND p.state = 'w' AND m.attempts = 0 AND p.letter IS NULL RETURNING p.key, p.claim), free AS (\
    UPDATE pelton_processed p SET at = clock_timestamp(), \
    state = CASE p.state WHEN 'r' THEN 'd'::\"char\" ELSE 'f'::\"char\" END, \
    attempts = CASE p.state WHEN 'r' THEN 0 ELSE m.attempts END, \
    letter = CASE WHEN m.counts THEN NULL ELSE p.letter END FROM asked m \
    WHERE p.pipeline = $1 AND p.key = m.key AND p.worker = m.worker AND p.claim = m.claim \
    AND p.state IN ('w', 'r') AND NOT (p.state = 'w' AND m.attempts = 0 AND p.letter IS NULL) RETURNING \
    p.key, p.claim) \
    SELECT key, claim FROM gone UNION ALL SELECT key, claim FROM free";

/// How one claim ends.
#[derive(Debug)]
pub enum End {
    /// Its message is done.
    Complete,
    /// It is another's to start.
    Release {
        /// Whether this start was one.
        counts: bool,
    },
    /// It has a letter; kept here, where there is one in the list of the job.
    Letter {
        /// What is left of the message.
        mark: Key,
    },
}

/// Claims that end together.
pub struct EndJob {
    /// Each with the claim that the core knows it by.
    pub ends: Vec<(Claim, Held, End)>,
    /// Letters of messages that were never claimed.
    pub unclaimed: Vec<Unclaimed>,
    /// Letters to keep, by the key of their row, claimed or not.
    pub letters: Vec<(Key, Box<Letter>)>,
    /// Who waits: for those that are claimed, then for the others.
    pub answer: oneshot::Sender<Vec<Result<(), ErrorClass>>>,
}

impl Weighs for EndJob {
    fn items(&self) -> usize {
        self.ends.len() + self.unclaimed.len()
    }
}

/// What came of a row.
type Fates = HashMap<(Key, i64), Result<(), ErrorClass>>;

/// Ends a group. Where a statement fails for what it is, each job is asked for alone, so that none has to
/// answer for what another brings.
pub async fn end(shared: Arc<PipelineLedger>, jobs: Vec<EndJob>) {
    points::reach("database-completing");
    let result = ended(&shared, &jobs).await;
    points::reach("database-completed");
    match result {
        Err(fault) if fault.kind == Kind::Statement && jobs.len() > 1 => {
            for job in jobs {
                let result = ended(&shared, std::slice::from_ref(&job)).await;
                answer(&shared, job, &result);
            }
        }
        result => jobs.into_iter().for_each(|job| answer(&shared, job, &result)),
    }
}

type Ended = (Fates, HashSet<Key>);

fn answer(shared: &PipelineLedger, job: EndJob, result: &Result<Ended, Fault>) {
    let class = result.as_ref().err().map(|fault| shared.sessions.server().failed(fault));
    let lost = Err(class.unwrap_or(ErrorClass::LeaseLost));
    let mut answers = Vec::with_capacity(job.items());
    for (claim, held, _) in &job.ends {
        let known = result.as_ref().ok().and_then(|(claimed, _)| claimed.get(&(held.key, held.claim)));
        let fate = known.copied().unwrap_or(lost);
        match fate {
            Err(ErrorClass::Transient) => shared.live.stays(*claim, false),
            Err(ErrorClass::LeaseLost) => shared.live.is_overtaken(*claim),
            _ => shared.live.end(*claim),
        }
        answers.push(fate);
    }
    let of = |letter: &Unclaimed| match result {
        Ok((_, unclaimed)) if unclaimed.contains(&letter.key) => Ok(()),
        // Another worker has it in work: it is asked again.
        Ok(_) => Err(ErrorClass::Transient),
        Err(_) => Err(class.unwrap_or(ErrorClass::Transient)),
    };
    answers.extend(job.unclaimed.iter().map(of));
    // Nobody waits any more: what has ended has ended.
    drop(job.answer.send(answers));
}

async fn ended(shared: &PipelineLedger, jobs: &[EndJob]) -> Result<Ended, Fault> {
    let pipeline = shared.number().await?;
    let groups = Groups::of(jobs);
    let completes = groups.complete.parameters(&pipeline);
    let mut releases = groups.release.rows.parameters(&pipeline);
    releases.push((&groups.release.attempts, Type::INT4_ARRAY));
    releases.push((&groups.release.counts, Type::BOOL_ARRAY));
    let columns = Columns::of(jobs.iter().flat_map(|job| &job.letters));
    let claimed = columns.of_claimed(&groups.letter.rows, &groups.letter.marks, &pipeline);
    let worker = shared.incarnation.number(shared.wants.claim_timeout_ms).await?;
    let timeout = i64::try_from(shared.wants.claim_timeout_ms).unwrap_or(i64::MAX) as f64;
    let unclaimed = Marked::of(&groups.unclaimed);
    let others = columns.of_unclaimed(&unclaimed, (&pipeline, &worker, &timeout));
    let all = [
        (!groups.complete.is_empty()).then_some(Ask { sql: COMPLETE, parameters: &completes }),
        (!groups.release.rows.is_empty()).then_some(Ask { sql: RELEASE, parameters: &releases }),
        (!groups.letter.rows.is_empty())
            .then_some(Ask { sql: columns.claimed_sql(), parameters: &claimed }),
        (!groups.unclaimed.is_empty()).then_some(Ask { sql: columns.unclaimed_sql(), parameters: &others }),
    ];
    let asks: Vec<Ask<'_>> = all.into_iter().flatten().collect();
    if asks.is_empty() {
        return Ok(Default::default());
    }
    let rows = shared.sessions.transaction(DURABLE, &asks).await?;
    let pair = |row: &Row| Ok::<(Key, i64), Fault>((row.try_get(0)?, row.try_get(1)?));
    let done = rows.iter().flatten().map(pair).collect::<Result<HashSet<_>, _>>()?;
    let mut fates = Fates::new();
    let mut missing = Vec::new();
    for (_, held, end) in jobs.iter().flat_map(|job| &job.ends) {
        if done.contains(&(held.key, held.claim)) {
            fates.insert((held.key, held.claim), Ok(()));
        } else {
            missing.push((*held, matches!(end, End::Complete)));
        }
    }
    look_after(shared, &missing, &mut fates).await?;
    let unclaimed = done.into_iter().filter(|(_, claim)| *claim == UNCLAIMED).map(|(key, _)| key).collect();
    Ok((fates, unclaimed_done(shared, &groups, unclaimed).await?))
}

/// Rows that did not match: another has them, or they ended by an exchange whose answer was lost; or the
/// database came back without what it had not written, and then nobody else has them.
async fn look_after(
    shared: &PipelineLedger,
    missing: &[(Held, bool)],
    fates: &mut Fates,
) -> Result<(), Fault> {
    if missing.is_empty() {
        return Ok(());
    }
    let held: Vec<Held> = missing.iter().map(|(held, _)| *held).collect();
    let standing = standings(shared, &held).await?;
    let mut gone = Vec::new();
    for ((held, completes), standing) in missing.iter().zip(standing) {
        let fate = match standing {
            ClaimStanding::Ended => Ok(()),
            ClaimStanding::Live => Err(ErrorClass::Transient),
            ClaimStanding::Elsewhere => Err(ErrorClass::LeaseLost),
            ClaimStanding::Gone if *completes => {
                gone.push(*held);
                continue;
            }
            // Nothing is known of it, as it is to be.
            ClaimStanding::Gone => Ok(()),
        };
        fates.insert((held.key, held.claim), fate);
    }
    for (held, restored) in gone.iter().zip(super::standing::restore(shared, &gone, true).await?) {
        fates.insert((held.key, held.claim), if restored { Ok(()) } else { Err(ErrorClass::LeaseLost) });
    }
    Ok(())
}

/// Letters without a claim that are settled: their row says so, or the message was done all the while.
async fn unclaimed_done(
    shared: &PipelineLedger,
    groups: &Groups<'_>,
    mut keys: HashSet<Key>,
) -> Result<HashSet<Key>, Fault> {
    let missing: Vec<&Unclaimed> =
        groups.unclaimed.iter().filter(|letter| !keys.contains(&letter.key)).copied().collect();
    if !missing.is_empty() {
        keys.extend(super::standing::settled(shared, &missing).await?);
    }
    Ok(keys)
}

/// What is asked of each kind, sorted by key.
struct Groups<'j> {
    complete: Rows,
    release: Releases,
    letter: Letters,
    unclaimed: Vec<&'j Unclaimed>,
}

/// Rows that are asked for, as columns.
#[derive(Default)]
pub struct Rows {
    /// Their keys.
    pub keys: Vec<Key>,
    workers: Vec<i32>,
    claims: Vec<i64>,
}

#[derive(Default)]
struct Releases {
    rows: Rows,
    attempts: Vec<i32>,
    counts: Vec<bool>,
}

#[derive(Default)]
struct Letters {
    rows: Rows,
    marks: Vec<Key>,
}

impl Rows {
    /// Of rows that are held.
    pub fn of<'h>(held: impl IntoIterator<Item = &'h Held>) -> Self {
        let mut rows = Self::default();
        held.into_iter().for_each(|held| rows.push(held));
        rows
    }

    fn push(&mut self, held: &Held) {
        self.keys.push(held.key);
        self.workers.push(held.worker);
        self.claims.push(held.claim);
    }

    /// The parameters from `$1` on: the number of the pipeline, keys, workers, claims.
    pub fn parameters<'p>(&'p self, pipeline: &'p i16) -> Vec<Typed<'p>> {
        vec![
            (pipeline as _, Type::INT2),
            (&self.keys as _, Type::UUID_ARRAY),
            (&self.workers as _, Type::INT4_ARRAY),
            (&self.claims as _, Type::INT8_ARRAY),
        ]
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl<'j> Groups<'j> {
    fn of(jobs: &'j [EndJob]) -> Self {
        let mut ends: Vec<&(Claim, Held, End)> = jobs.iter().flat_map(|job| &job.ends).collect();
        ends.sort_by_key(|(_, held, _)| held.key);
        let mut unclaimed: Vec<&Unclaimed> = jobs.iter().flat_map(|job| &job.unclaimed).collect();
        unclaimed.sort_by_key(|letter| letter.key);
        unclaimed.dedup_by_key(|letter| letter.key);
        let (complete, release, letter) = <(Rows, Releases, Letters)>::default();
        let mut groups = Self { complete, release, letter, unclaimed };
        for (_, held, end) in ends {
            match end {
                End::Complete => groups.complete.push(held),
                End::Release { counts } => {
                    groups.release.rows.push(held);
                    groups.release.attempts.push(if *counts { held.attempts } else { held.before });
                    groups.release.counts.push(*counts);
                }
                End::Letter { mark } => {
                    groups.letter.rows.push(held);
                    groups.letter.marks.push(*mark);
                }
            }
        }
        groups
    }
}

/// Ends claims that are live; the others have ended, and are answered so. Asked before this returns.
pub fn end_live(
    shared: &PipelineLedger,
    ends: Vec<Option<(Claim, Held, End)>>,
) -> BoxFuture<'static, Vec<Result<(), ErrorClass>>> {
    let live: Vec<bool> = ends.iter().map(Option::is_some).collect();
    let (answer, answered) = oneshot::channel();
    let ends: Vec<_> = ends.into_iter().flatten().collect();
    let count = ends.len();
    if count > 0 {
        shared.ends.ask(EndJob { ends, unclaimed: Vec::new(), letters: Vec::new(), answer });
    }
    Box::pin(async move {
        let none = vec![Err(ErrorClass::Transient); count];
        let answers = if count > 0 { answered.await.unwrap_or(none) } else { none };
        let mut answers = answers.into_iter();
        let of = |live| if live { answers.next() } else { None };
        live.into_iter().map(of).map(|answer| answer.unwrap_or(Err(ErrorClass::LeaseLost))).collect()
    })
}
