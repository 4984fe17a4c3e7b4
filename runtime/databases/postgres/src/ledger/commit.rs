//! Completions with effects: what a call has staged commits with the rows of its messages, or nothing does.

use super::{Held, Key, PipelineLedger};
use crate::client::{Fault, Kind};
use crate::effects::{Steps, commit_alone};
use crate::points;
use crate::sql::{CommitEnd, Failure, PostgresTransaction, Step};
use pelton_core::effects::{Effects, TransactionState};
use pelton_core::ports::ErrorClass;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// The messages of one call, and what it has staged.
pub struct Call {
    /// What it has staged; `effects.fail(words)` says why it came to nothing.
    pub effects: Arc<Effects>,
    /// Their rows, sorted by key. All of them end, or none does.
    pub rows: Vec<Held>,
}

/// Why a call was not committed, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// It was not, for good: `Conflict`, `Failed`, `LeaseLost` or `Transient`.
    Not(ErrorClass),
    /// COMMIT was sent and nobody has answered: the rows tell. The ledger reads them, again and again; where
    /// they are still ours and not done the call is a `Conflict`.
    InDoubt,
}

/// As `COMPLETE`, and an error where not all of `$5` rows are ours still: nobody reads an answer before
/// `COMMIT` is sent. The words are for who reads the server's log.
const COMPLETE_ALL: &str = "WITH done AS (UPDATE pelton_processed p \
    SET state = 'd', at = clock_timestamp(), attempts = 0, letter = NULL \
    FROM unnest($2::uuid[], $3::int4[], $4::int8[]) AS m(key, worker, claim) \
    WHERE p.pipeline = $1 AND p.key = m.key AND p.worker = m.worker AND p.claim = m.claim \
    AND p.state IN ('w', 'r') RETURNING p.key) \
    SELECT ('pelton: another worker has taken a message over, so this one commits nothing (' || count(*) || \
    ' of ' || $5::int8 || ' claims hold)')::integer FROM done HAVING count(*) <> $5::int8";

/// The SQLSTATE of a condition of ours that does not hold: the words of it are no number.
const CONDITION: &str = "22P02";

/// Commits a call. Runs on a task: whoever waits for it may go.
pub async fn commit(ledger: &Arc<PipelineLedger>, call: &Call) -> Result<(), CallEnd> {
    let Some(transaction) = &call.effects.transaction else { return commit_alone(ledger, call).await };
    let Some(transaction) = transaction.of::<PostgresTransaction>() else {
        call.effects.fail("its statements ran in another database than its ledger's".to_owned());
        return Err(CallEnd::Not(ErrorClass::Failed));
    };
    let away = |fault: &Fault| CallEnd::Not(ledger.sessions.server().failed(fault));
    let pipeline = ledger.number().await.map_err(|fault| away(&fault))?;
    ledger.kept.follows(&call.effects).await;
    let Steps { commands, check } = ledger.kept.steps(&call.effects).await.map_err(|fault| away(&fault))?;
    let own = commands.into_iter().map(|command| Step::ours(command.text, command.parameters));
    let mut steps: Vec<Step> = own.collect();
    steps.push(completes(pipeline, &call.rows));
    let last = steps.len() - 1;
    points::reach("database-completing");
    let end = transaction.commit(steps).await;
    points::reach("database-completed");
    match end {
        CommitEnd::Committed => {
            ledger.sessions.server().health().works();
            ledger.kept.committed(&call.effects);
            Ok(())
        }
        CommitEnd::InDoubt(words) => {
            ledger.sessions.server().failed(&Fault::new(Kind::Away, words));
            Err(CallEnd::InDoubt)
        }
        other => Err(CallEnd::Not(nothing_happened(ledger, call, other, check, last))),
    }
}

/// Ends the rows of a call.
fn completes(pipeline: i16, rows: &[Held]) -> Step {
    let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
    let workers: Vec<i32> = rows.iter().map(|row| row.worker).collect();
    let claims: Vec<i64> = rows.iter().map(|row| row.claim).collect();
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let parameters: Vec<crate::sql::Parameter> = vec![
        (Box::new(pipeline), Type::INT2),
        (Box::new(keys), Type::UUID_ARRAY),
        (Box::new(workers), Type::INT4_ARRAY),
        (Box::new(claims), Type::INT8_ARRAY),
        (Box::new(count), Type::INT8),
    ];
    Step::ours(COMPLETE_ALL, parameters)
}

/// The transaction is rolled back: what that means, and why, for who asks.
fn nothing_happened(
    ledger: &PipelineLedger,
    call: &Call,
    end: CommitEnd,
    check: Option<usize>,
    last: usize,
) -> ErrorClass {
    let (class, words) = match end {
        CommitEnd::Failed(words) => (ErrorClass::Failed, format!("{words} and the handler answered ok")),
        CommitEnd::Again(words) => (ErrorClass::Conflict, words),
        CommitEnd::Refused { step, failure: Failure::Server(error) } if error.code == CONDITION => {
            if step == last {
                return ErrorClass::LeaseLost;
            }
            match check == Some(step) {
                true => return ErrorClass::Conflict,
                false => (ErrorClass::Conflict, error.words()),
            }
        }
        CommitEnd::Refused { failure, .. } => {
            if let (Failure::Server(error), TransactionState::Failed(_)) = (&failure, failure.standing()) {
                // A statement of ours: a table or a right is missing.
                ledger.sessions.server().failed(&Fault::answered(&error.code, &error.message));
            }
            (ErrorClass::Conflict, failure.words())
        }
        CommitEnd::Committed | CommitEnd::InDoubt(_) => return ErrorClass::Transient,
    };
    call.effects.fail(words);
    class
}
