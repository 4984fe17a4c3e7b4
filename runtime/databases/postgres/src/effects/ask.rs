//! Exchanges with the database for state and outbox: statements that go together, whose answers come
//! together.

use crate::client::{EXCHANGE, Fault, Session, Sessions};
pub(crate) use crate::sql::Parameter;
use pelton_core::ports::BoxFuture;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// How long one waits for a database that others could not connect to a moment ago.
const CONNECT_WAIT: Duration = Duration::from_secs(2);

/// A statement of ours.
pub(crate) struct Command {
    pub text: &'static str,
    pub parameters: Vec<Parameter>,
}

impl Command {
    pub fn new(text: &'static str, parameters: Vec<Parameter>) -> Self {
        Self { text, parameters }
    }
}

/// Sends statements together, and gives the rows of each. All are answered when it returns. The first that
/// fails counts: those behind it may have worked, unless all are in one transaction.
pub(crate) async fn ask(session: &Session, commands: &[Command]) -> Result<Vec<Vec<Row>>, Fault> {
    let asked = commands.iter().map(|command| one(session, command));
    together(asked.collect()).await.into_iter().collect()
}

/// Without a name at the server: poolers that give each transaction another connection can carry that.
fn one<'s>(session: &'s Session, command: &'s Command) -> BoxFuture<'s, Result<Vec<Row>, Fault>> {
    Box::pin(async move {
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = command
            .parameters
            .iter()
            .map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
            .collect();
        Ok(session.client.query_typed(command.text, &parameters).await?)
    })
}

/// All of them, begun in their order: the driver sends a statement when its future is looked at first.
async fn together<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Lends a connection for an exchange, which a task finishes: whoever waits for it may go. It leaves no
/// transaction open; where it fails the connection is closed, and with it what was open.
pub(crate) async fn exchange<T: Send + 'static>(
    sessions: &Arc<Sessions>,
    work: impl for<'s> FnOnce(&'s Session) -> BoxFuture<'s, Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    let lenders = sessions.clone();
    let task = sessions.server().runtime().spawn(async move {
        let lent = lenders.lend(CONNECT_WAIT).await?;
        match tokio::time::timeout(EXCHANGE, work(&lent)).await {
            Ok(Ok(value)) => {
                lent.give_back();
                lenders.server().health().works();
                Ok(value)
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => {
                lent.abandon();
                Err(Fault::no_answer())
            }
        }
    });
    task.await.unwrap_or_else(|_| Err(Fault::new(crate::client::Kind::Away, "this process is ending")))
}
