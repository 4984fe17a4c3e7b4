//! Calls that ran no statements, and staged something: those that come while a commit is under way commit
//! together with the next, in the order in which they came.
//!
//! One transaction has two round trips. The first locks rows and keys and looks at them; what does not hold
//! is left out, and what does is written and committed in the second. So a conflict is no error of the
//! server's.

use super::ask::{Command, ask};
use super::names::NumberOf;
use super::steps::{sends, writes};
use super::touched::{Touched, buckets};
use super::{BEHIND, PAUSE};
use crate::client::{EXCHANGE, Fault, Kind, Lent, Session};
use crate::ledger::{COMPLETE, Call, CallEnd, Held, Key, PipelineLedger, Weighs};
use crate::points;
use pelton_core::effects::{Effects, LastWrites, Seen, Stamp};
use pelton_core::ports::ErrorClass;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How long a commit waits for a database that others could not connect to a moment ago.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// Calls of one transaction, and bytes that they write, beyond the last of them.
const MOST: usize = 512;
const MAX_BYTES: usize = 8 << 20;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Who waits for longer gives the others their way, and comes again.
const BOUNDS: &str = "SET LOCAL lock_timeout = '10s'";
/// The rows that are ours still, locked.
const ROWS: &str = "SELECT p.key FROM unnest($2::uuid[], $3::int4[], $4::int8[]) AS m(key, worker, claim) \
    JOIN pelton_processed p ON p.pipeline = $1 AND p.key = m.key AND p.worker = m.worker AND p.claim = \
    m.claim \
    WHERE p.state IN ('w', 'r') ORDER BY p.key FOR UPDATE OF p";
const STAMPS: &str = "SELECT k.n, s.stamp FROM unnest($1::int8[], $2::bytea[]) WITH ORDINALITY AS \
    k(bucket, key, n) \
    JOIN pelton_state s ON s.bucket = k.bucket AND s.key = k.key";

type Answer = Result<(), CallEnd>;

/// A call that waits for the next transaction.
pub(crate) struct EffectJob {
    effects: Arc<Effects>,
    rows: Vec<Held>,
    answer: oneshot::Sender<Option<Answer>>,
}

impl Weighs for EffectJob {
    fn items(&self) -> usize {
        self.rows.len()
    }
}

/// Commits a call that has no transaction, whole or not at all.
pub(crate) async fn commit_alone(ledger: &Arc<PipelineLedger>, call: &Call) -> Answer {
    let until = Instant::now() + BEHIND;
    loop {
        let (answer, answered) = oneshot::channel();
        let job = EffectJob { effects: call.effects.clone(), rows: call.rows.clone(), answer };
        ledger.effects.ask(job);
        match answered.await {
            Ok(Some(answer)) => return answer,
            Ok(None) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Ok(None) => return Err(CallEnd::Not(ErrorClass::Conflict)),
            Err(_) => return Err(CallEnd::Not(ErrorClass::Transient)),
        }
    }
}

/// Commits those that have arrived, in as few transactions as they fit into.
pub(crate) async fn commit_all(ledger: Arc<PipelineLedger>, mut jobs: Vec<EffectJob>) {
    while !jobs.is_empty() {
        let mut bytes = 0;
        let within = |job: &&EffectJob| {
            let fits = bytes < MAX_BYTES;
            bytes += size(&job.effects);
            fits
        };
        let count = jobs.iter().take(MOST).take_while(within).count();
        let group: Vec<EffectJob> = jobs.drain(..count).collect();
        let ends = commit(&ledger, &group).await;
        for (end, job) in ends.into_iter().zip(group) {
            if job.answer.send(end).is_err() {
                tracing::debug!("nobody waits any more for the end of a call");
            }
        }
    }
}

fn size(effects: &Effects) -> usize {
    let written =
        effects.writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len));
    written.chain(effects.messages.iter().map(|message| message.body.len())).sum()
}

async fn commit(ledger: &Arc<PipelineLedger>, calls: &[EffectJob]) -> Vec<Option<Answer>> {
    match transaction(ledger, calls).await {
        Ok(ends) => {
            for (call, _) in calls.iter().zip(&ends).filter(|(_, end)| **end == Some(Ok(()))) {
                ledger.kept.committed(&call.effects);
            }
            ends
        }
        Err(end) => vec![Some(Err(end)); calls.len()],
    }
}

/// An error is that of all.
async fn transaction(
    ledger: &Arc<PipelineLedger>,
    calls: &[EffectJob],
) -> Result<Vec<Option<Answer>>, CallEnd> {
    let stores: Vec<_> = calls.iter().flat_map(|call| buckets(&call.effects)).collect();
    let targets: Vec<_> =
        calls.iter().flat_map(|call| call.effects.messages.iter().map(|message| message.target)).collect();
    let names = &ledger.kept.names;
    let numbers = names.numbers(&ledger.sessions, stores.into_iter(), targets.into_iter()).await;
    let numbers = numbers.map_err(|fault| not(ledger, &fault))?;
    let pipeline = ledger.number().await.map_err(|fault| not(ledger, &fault))?;
    let lent = ledger.sessions.lend(CONNECT_WAIT).await.map_err(|fault| not(ledger, &fault))?;
    let asked = tokio::time::timeout(EXCHANGE, look(&lent, pipeline, calls, &numbers)).await;
    let (live, stamps) = match asked {
        Ok(found) => found.map_err(|fault| not(ledger, &fault))?,
        Err(_) => return Err(given_up(ledger, &lent)),
    };
    let decided = decide(ledger, calls, &live, &stamps, &numbers);
    points::reach("database-completing");
    let committed = tokio::time::timeout(EXCHANGE, write(&lent, pipeline, &decided, &numbers)).await;
    match committed {
        Ok(Ok(())) => {
            points::reach("database-completed");
            lent.give_back();
            ledger.sessions.server().health().works();
            Ok(decided.ends)
        }
        // All of it was sent: it may have been done.
        Ok(Err(fault)) if fault.kind == Kind::Away => {
            ledger.sessions.server().failed(&fault);
            Err(CallEnd::InDoubt)
        }
        Ok(Err(fault)) => Err(not(ledger, &fault)),
        Err(_) => {
            given_up(ledger, &lent);
            Err(CallEnd::InDoubt)
        }
    }
}

fn not(ledger: &PipelineLedger, fault: &Fault) -> CallEnd {
    let class = ledger.sessions.server().failed(fault);
    CallEnd::Not(if fault.kind == Kind::Conflict { ErrorClass::Conflict } else { class })
}

fn given_up(ledger: &PipelineLedger, lent: &Lent) -> CallEnd {
    lent.abandon();
    not(ledger, &Fault::no_answer())
}

/// Stamps of what is there, by the place of the key in the order of locks.
type Stamps = BTreeMap<(i64, Vec<u8>), Stamp>;

async fn look(
    session: &Session,
    pipeline: i16,
    calls: &[EffectJob],
    numbers: &NumberOf,
) -> Result<(BTreeSet<Key>, Stamps), Fault> {
    let mut touched = Touched::default();
    calls.iter().for_each(|call| touched.add(&call.effects, numbers));
    let mut commands = vec![Command::new(BEGIN, Vec::new()), Command::new(BOUNDS, Vec::new())];
    commands.push(of_rows(ROWS, pipeline, calls.iter().flat_map(|call| &call.rows)));
    commands.extend(touched.locks());
    let keys: Vec<(i64, Vec<u8>)> = touched.keys().cloned().collect();
    if !keys.is_empty() {
        let (buckets, keys): (Vec<i64>, Vec<Vec<u8>>) = keys.iter().cloned().unzip();
        commands.push(Command::new(
            STAMPS,
            vec![(Box::new(buckets), Type::INT8_ARRAY), (Box::new(keys), Type::BYTEA_ARRAY)],
        ));
    }
    let answers = ask(session, &commands).await?;
    let live = answers.get(2).into_iter().flatten().map(|row| row.try_get(0));
    let live = live.collect::<Result<BTreeSet<Key>, _>>()?;
    let found = answers.last().filter(|_| !keys.is_empty()).into_iter().flatten();
    let stamp = |row: &Row| {
        let (place, stamp): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let key = usize::try_from(place - 1).ok().and_then(|place| keys.get(place)).cloned();
        Ok::<_, Fault>(key.map(|key| (key, Stamp(stamp.cast_unsigned()))))
    };
    let stamps: Result<Vec<_>, Fault> = found.map(stamp).collect();
    Ok((live, stamps?.into_iter().flatten().collect()))
}

/// What becomes of calls that were looked at together.
struct Decided<'c> {
    /// None of one that goes with the next transaction.
    ends: Vec<Option<Answer>>,
    /// Those that commit, in their order.
    commit: Vec<&'c EffectJob>,
    last: LastWrites,
}

/// Which calls commit, and what they leave. A call that has read what another of them has written goes
/// behind that one, whichever came first; of one that has read what is still on its way elsewhere nothing
/// is said yet.
fn decide<'c>(
    ledger: &PipelineLedger,
    calls: &'c [EffectJob],
    live: &BTreeSet<Key>,
    stamps: &Stamps,
    numbers: &NumberOf,
) -> Decided<'c> {
    let (mut last, mut commit) = (LastWrites::default(), Vec::new());
    let kept = |seen: &Seen| {
        let key = (numbers.bucket(seen.bucket), seen.key.clone());
        Ok::<_, Infallible>(stamps.get(&key).copied().unwrap_or(Stamp::ABSENT))
    };
    let mut ends: Vec<Option<Answer>> = calls.iter().map(|call| fenced(call, live)).collect();
    loop {
        let before = commit.len();
        for (call, end) in calls.iter().zip(&mut ends).filter(|(_, end)| end.is_none()) {
            if call.effects.reads.iter().all(|seen| last.leave(seen, kept).unwrap_or(false)) {
                last.add(&call.effects);
                commit.push(call);
                *end = Some(Ok(()));
            }
        }
        if commit.len() == before {
            break;
        }
    }
    for (call, end) in calls.iter().zip(&mut ends).filter(|(_, end)| end.is_none()) {
        if !ledger.kept.state.is_behind(&call.effects) {
            *end = Some(Err(CallEnd::Not(ErrorClass::Conflict)));
        }
    }
    Decided { ends, commit, last }
}

/// How a call ends whose rows are not ours any more.
fn fenced(call: &EffectJob, live: &BTreeSet<Key>) -> Option<Answer> {
    let ours = call.rows.iter().all(|row| live.contains(&row.key));
    (!ours).then_some(Err(CallEnd::Not(ErrorClass::LeaseLost)))
}

async fn write(
    session: &Session,
    pipeline: i16,
    decided: &Decided<'_>,
    numbers: &NumberOf,
) -> Result<(), Fault> {
    let Decided { commit, last, .. } = decided;
    let mut commands = Vec::new();
    if !commit.is_empty() {
        commands.push(of_rows(COMPLETE, pipeline, commit.iter().flat_map(|call| &call.rows)));
    }
    commands.extend(writes(last.iter(), numbers));
    let messages: Vec<_> = commit.iter().flat_map(|call| &call.effects.messages).collect();
    commands.extend(sends(messages.into_iter(), numbers));
    commands.push(Command::new(if commands.is_empty() { "ROLLBACK" } else { "COMMIT" }, Vec::new()));
    ask(session, &commands).await.map(drop)
}

/// A statement that asks for rows of the ledger, sorted by key.
fn of_rows<'r>(sql: &'static str, pipeline: i16, rows: impl Iterator<Item = &'r Held>) -> Command {
    let mut rows: Vec<&Held> = rows.collect();
    rows.sort_unstable_by_key(|row| row.key);
    let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
    let workers: Vec<i32> = rows.iter().map(|row| row.worker).collect();
    let claims: Vec<i64> = rows.iter().map(|row| row.claim).collect();
    Command::new(
        sql,
        vec![
            (Box::new(pipeline), Type::INT2),
            (Box::new(keys), Type::UUID_ARRAY),
            (Box::new(workers), Type::INT4_ARRAY),
            (Box::new(claims), Type::INT8_ARRAY),
        ],
    )
}
