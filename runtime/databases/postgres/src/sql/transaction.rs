//! The transaction of one call of a handler. It begins with the first statement, in the same exchange, and
//! what is dropped without a commit is rolled back.

use super::commit::CommitEnd;
use super::connection::Line;
use super::course::Course;
use super::exchange::{Answer, Purpose, Request};
use super::failure::Failure;
use super::guard;
use super::pool::Pool;
use super::step::Step;
use pelton_core::effects::{Column, Rows, SqlError, SqlValue, Statement, Transaction, TransactionState};
use pelton_core::ports::BoxFuture;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_postgres::types::Type;

/// Statements of one message, at most.
const MOST: u32 = 10_000;
/// Bytes of one statement with its parameters, at most.
const LARGEST: usize = 16 << 20;
/// Bytes of statements that are sent and not answered, at most, in pieces of a KiB.
const ROOM: usize = 16 << 10;
/// What the server may take beyond the bound of a statement before the connection is given up.
const GRACE: Duration = Duration::from_secs(10);
/// A transaction that this crate's ledger can commit.
pub struct PostgresTransaction {
    pub(super) pool: Arc<Pool>,
    pub(super) course: Arc<Course>,
    room: Arc<Semaphore>,
    inner: Mutex<Inner>,
    pub(super) ended: watch::Sender<Option<CommitEnd>>,
}

pub(super) struct Inner {
    /// None once it is over.
    pub(super) lease: Option<(Line, OwnedSemaphorePermit)>,
    pub(super) begun: bool,
    /// A statement may have set another role.
    pub(super) sets_role: bool,
    statements: u32,
    /// Messages share it: each has a savepoint.
    is_shared: bool,
    /// The number of the savepoint that is open, this message's or that of the one before it. Each has a name
    /// of its own: what is undone is never that of another message.
    saved: Option<u32>,
    /// The message at hand has run a statement.
    has_run: bool,
}

impl PostgresTransaction {
    pub(crate) fn new(pool: Arc<Pool>, line: Line, permit: OwnedSemaphorePermit) -> Self {
        let inner = Inner {
            lease: Some((line, permit)),
            begun: false,
            sets_role: false,
            statements: 0,
            is_shared: false,
            saved: None,
            has_run: false,
        };
        Self {
            pool,
            course: Arc::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            inner: Mutex::new(inner),
            ended: watch::channel(None).0,
        }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands against sending a statement, before anything is sent.
    fn refuses(&self, statement: &Statement) -> Option<SqlError> {
        let refused = |words: String| Some(SqlError::Refused(words));
        if let Some(why) = guard::refuses(&statement.text) {
            return refused(why);
        }
        if statement.parameters.len() > usize::from(u16::MAX) {
            return refused(format!("a statement has at most {} parameters", u16::MAX));
        }
        match self.course.failure() {
            Some(Failure::Server(error)) if !error.is_fatal => Some(SqlError::Database {
                code: "25P02".to_owned(),
                message: format!("a statement before it has failed ({})", error.words()),
                detail: None,
                constraint: None,
            }),
            Some(failure) => Some(failure.for_handler()),
            None => None,
        }
    }

    /// Sends a statement, with what has to go before it.
    async fn send(&self, statement: Statement, rows: bool) -> Result<oneshot::Receiver<Answer>, SqlError> {
        if let Some(error) = self.refuses(&statement) {
            return Err(error);
        }
        let sets_role = guard::sets_role(&statement.text);
        let step = Step::of_handler(statement.text, statement.parameters);
        let size = step.size();
        if size > LARGEST {
            let words =
                format!("the statement and its parameters have {size} bytes; at most {LARGEST} go at once");
            return Err(SqlError::Refused(words));
        }
        let pieces = u32::try_from((size >> 10).clamp(1, ROOM)).unwrap_or(1);
        let room = self.room.clone().acquire_many_owned(pieces).await.ok();
        let mut inner = self.inner();
        if inner.statements >= MOST {
            return Err(SqlError::Refused(format!("a message runs at most {MOST} statements")));
        }
        inner.statements += 1;
        inner.sets_role |= sets_role;
        let mut steps = self.before_statement(&mut inner);
        steps.push(step);
        let patience = GRACE + self.pool.settings().statement_timeout;
        let mut request = Request::new(steps, Purpose::Within, self.course.clone(), patience);
        request.rows = rows.then(|| self.pool.result_bounds());
        request.room = room;
        let (reply, answer) = oneshot::channel();
        request.reply = Some(reply);
        let (line, _) = inner.lease.as_ref().ok_or_else(over)?;
        line.run(request);
        Ok(answer)
    }

    /// The beginning, if it has not begun, and the savepoint of the message at hand.
    fn before_statement(&self, inner: &mut Inner) -> Vec<Step> {
        let mut steps = if inner.begun { Vec::new() } else { self.pool.begins() };
        inner.begun = true;
        if inner.is_shared && !inner.has_run {
            steps.extend(inner.saved.map(|last| Step::savepoint(format!("RELEASE SAVEPOINT m{last}"))));
            let number = inner.saved.map_or(1, |last| last + 1);
            steps.push(Step::savepoint(format!("SAVEPOINT m{number}")));
            inner.saved = Some(number);
        }
        inner.has_run = true;
        steps
    }

    /// The names of types that are not the server's own, asked for once.
    async fn learn_types(&self, columns: &[(String, u32)]) {
        let is_known = |oid: &u32| Type::from_oid(*oid).is_some() || self.pool.type_name(*oid).is_some();
        let unknown: BTreeSet<u32> =
            columns.iter().map(|(_, oid)| *oid).filter(|oid| !is_known(oid)).collect();
        if unknown.is_empty() {
            return;
        }
        let numbers: Vec<u32> = unknown.into_iter().collect();
        let asks = "SELECT oid, typname FROM pg_catalog.pg_type WHERE oid = ANY ($1)";
        let step = Step::ours(asks, vec![(Box::new(numbers), Type::OID_ARRAY)]);
        let patience = GRACE + self.pool.settings().statement_timeout;
        let mut request = Request::new(vec![step], Purpose::Within, self.course.clone(), patience);
        request.rows = Some(self.pool.result_bounds());
        let (reply, answer) = oneshot::channel();
        request.reply = Some(reply);
        if let Some((line, _)) = &self.inner().lease {
            line.run(request);
        }
        let rows = answer.await.map(|answer| answer.rows).unwrap_or_default();
        self.pool.knows_types(rows.into_iter().filter_map(|row| match row.as_slice() {
            [SqlValue::Text(oid), SqlValue::Text(name)] => Some((oid.parse().ok()?, name.as_str().into())),
            _ => None,
        }));
    }

    fn columns(&self, columns: Vec<(String, u32)>) -> Vec<Column> {
        let named = |oid: u32| match Type::from_oid(oid) {
            Some(known) => known.name().to_owned(),
            None => self.pool.type_name(oid).map_or_else(|| oid.to_string(), |name| name.to_string()),
        };
        columns.into_iter().map(|(name, oid)| Column { name, type_name: named(oid) }).collect()
    }
}

fn over() -> SqlError {
    SqlError::Refused("the transaction of this message is over".to_owned())
}

impl Transaction for PostgresTransaction {
    fn run(&self, statement: Statement, wants_rows: bool) -> BoxFuture<'_, Result<Rows, SqlError>> {
        Box::pin(async move {
            let answer = self.send(statement, wants_rows).await?;
            let answer = answer.await.unwrap_or_else(|_| Answer::lost());
            if let Some(failure) = &answer.failure {
                return Err(failure.for_handler());
            }
            if let Some(bound) = answer.cut {
                return Err(SqlError::TooLarge(bound));
            }
            self.learn_types(&answer.columns).await;
            let affected = answer.affected();
            Ok(Rows { columns: self.columns(answer.columns), rows: answer.rows, affected })
        })
    }

    fn stage(&self, statement: Statement) -> BoxFuture<'_, Result<(), SqlError>> {
        Box::pin(async move { self.send(statement, false).await.map(drop) })
    }

    fn begins_message(&self) -> BoxFuture<'_, ()> {
        // What says so to the server goes with the first statement of the message.
        let mut inner = self.inner();
        (inner.is_shared, inner.has_run, inner.statements) = (true, false, 0);
        Box::pin(std::future::ready(()))
    }

    fn undoes_message(&self) -> BoxFuture<'_, ()> {
        let undone = self.undo();
        Box::pin(async move {
            if let Some(answer) = undone {
                // The task has noted whether it worked.
                drop(answer.await);
            }
        })
    }

    fn standing(&self) -> TransactionState {
        self.course.standing()
    }
}

impl PostgresTransaction {
    /// Goes back to where the message began, if it has run anything.
    fn undo(&self) -> Option<oneshot::Receiver<Answer>> {
        let mut inner = self.inner();
        let number = inner.saved.filter(|_| inner.has_run)?;
        inner.has_run = false;
        let steps = vec![Step::savepoint(format!("ROLLBACK TO SAVEPOINT m{number}"))];
        let mut request = Request::new(steps, Purpose::Undo, self.course.clone(), GRACE);
        let (reply, answer) = oneshot::channel();
        request.reply = Some(reply);
        let (line, _) = inner.lease.as_ref()?;
        line.run(request);
        Some(answer)
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if let Some((line, permit)) = self.inner().lease.take() {
            line.end(permit, true);
        }
    }
}
