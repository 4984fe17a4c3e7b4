//! One transaction of our own, sent in one go: what begins it, its statements, and its end.

use super::{EXCHANGE, Fault, Lent, Sessions};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// How long an exchange waits for the breaker: those who ask come again by themselves.
const CONNECT_WAIT: Duration = Duration::from_millis(300);

/// Begins a transaction that is on disk when it has ended, as far as the server writes to disk. Nobody waits
/// for a lock for long; what is still open when its worker stands still is rolled back, so that others get
/// what it has locked.
pub const DURABLE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'; SET LOCAL \
    statement_timeout = '20s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'";

/// The same for what need not outlive a loss of power: claims and heartbeats.
pub const QUICK: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off; \
    SET LOCAL lock_timeout = '5s'; \
    SET LOCAL statement_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '20s'";

/// A parameter with its type.
pub type Typed<'p> = (&'p (dyn ToSql + Sync), Type);

/// A statement of a transaction.
pub struct Ask<'p> {
    /// Its text.
    pub sql: &'p str,
    /// What stands for `$1` and those that follow.
    pub parameters: &'p [Typed<'p>],
}

impl Sessions {
    /// Runs a transaction on a connection that nobody uses: its statements are sent together, and with them
    /// its end. Their rows, in their order. Runs on a task: a future of it is not to be dropped.
    ///
    /// # Errors
    /// Of the first statement that failed: nothing was done. Or the connection was lost: then nobody knows.
    pub async fn transaction(&self, begin: &str, asks: &[Ask<'_>]) -> Result<Vec<Vec<Row>>, Fault> {
        let session = self.lend(CONNECT_WAIT).await?;
        let exchanged = tokio::time::timeout(EXCHANGE, exchange(&session.client, begin, asks)).await;
        let health = self.server().health();
        match exchanged {
            Ok(Ok(rows)) => {
                session.give_back();
                health.works();
                Ok(rows)
            }
            Ok(Err(fault)) => {
                give_back_if_answered(session, &fault);
                Err(fault)
            }
            Err(_) => {
                session.abandon();
                Err(Fault::no_answer())
            }
        }
    }
}

/// What the server has answered is over: the transaction was rolled back by the COMMIT behind it.
fn give_back_if_answered(session: Lent, fault: &Fault) {
    if fault.code.is_some() {
        session.give_back();
    }
}

async fn exchange(client: &Client, begin: &str, asks: &[Ask<'_>]) -> Result<Vec<Vec<Row>>, Fault> {
    let begun = client.batch_execute(begin);
    let asked = asks.iter().map(|ask| client.query_typed(ask.sql, ask.parameters));
    let (begun, asked, ended) = in_order(begun, asked.collect(), client.batch_execute("COMMIT")).await;
    begun?;
    let rows = asked.into_iter().collect::<Result<Vec<_>, _>>()?;
    ended?;
    Ok(rows)
}

/// Polls all of them in their order, so that they are sent in it, and waits for all.
async fn in_order<A, B, T, U>(first: A, between: Vec<B>, last: A) -> (A::Output, Vec<T>, A::Output)
where
    A: Future<Output = U>,
    B: Future<Output = T>,
{
    let (mut first, mut last) = (pin!(first), pin!(last));
    let mut between: Vec<Pin<Box<B>>> = between.into_iter().map(Box::pin).collect();
    let mut answers: Vec<Option<T>> = between.iter().map(|_| None).collect();
    let (mut begun, mut ended) = (None, None);
    poll_fn(|cx| {
        let mut waits = false;
        let mut look = |pending: bool| waits |= pending;
        look(fill(&mut begun, || first.as_mut().poll(cx)));
        for (asked, answer) in between.iter_mut().zip(&mut answers) {
            look(fill(answer, || asked.as_mut().poll(cx)));
        }
        look(fill(&mut ended, || last.as_mut().poll(cx)));
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let answers = answers.into_iter().flatten().collect();
    match (begun, ended) {
        (Some(begun), Some(ended)) => (begun, answers, ended),
        _ => unreachable!("it waits for all"),
    }
}

/// Polls what has not answered; whether it still has not.
fn fill<T>(answer: &mut Option<T>, poll: impl FnOnce() -> Poll<T>) -> bool {
    if answer.is_none()
        && let Poll::Ready(now) = poll()
    {
        *answer = Some(now);
    }
    answer.is_none()
}
