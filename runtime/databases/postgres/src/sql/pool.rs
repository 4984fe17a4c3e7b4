//! The connections of one pipeline for its handlers: what a statement leaves in a session is never seen by
//! another pipeline.

use super::connection::Line;
use super::exchange::Bounds;
use super::failure::ServerError;
use super::step::Step;
use super::transaction::PostgresTransaction;
use super::wire::dial;
use crate::client::{Fault, Server};
use pelton_core::effects::{Database, SqlError, Transaction};
use pelton_core::ports::BoxFuture;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Messages that share a transaction, at most. Each is a subtransaction, whose number the server does not
/// give back: it keeps 64 of a session in memory, and looks for others on disk.
const SHARED_BY: usize = 32;
/// How long a handler waits for a database that others could not connect to a moment ago.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// What is asked of the connections of a pipeline.
#[derive(Debug, Clone)]
pub struct SqlSettings {
    /// So many at most.
    pub connections: usize,
    /// The messages of a chunk share a transaction.
    pub per_chunk: bool,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a transaction may wait for its worker: one that stands still keeps others out.
    pub idle_timeout: Duration,
    /// Rows of a result, at most.
    pub max_rows: u32,
    /// Bytes of a result, at most.
    pub max_result: usize,
}

/// What handlers of one pipeline run statements in.
pub struct PostgresSql(Arc<Pool>);

/// What its transactions and connections have in common.
pub(crate) struct Pool {
    server: Arc<Server>,
    settings: SqlSettings,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Line>>,
    /// Statements have no names: a pooler stands between.
    nameless: AtomicBool,
    /// The user's own types, by their numbers.
    types: Mutex<FxHashMap<u32, Arc<str>>>,
    /// What makes a transaction bounded.
    bounds: [Arc<str>; 3],
}

impl PostgresSql {
    /// None is connected before it is wanted.
    #[must_use]
    pub fn new(server: Arc<Server>, settings: SqlSettings) -> Self {
        let statement = settings.statement_timeout.as_millis().max(1);
        // Shorter, so that who waits for others is told from who is slow: the first is no failure.
        let lock = (statement / 2).max(1);
        let idle = settings.idle_timeout.as_millis().max(1);
        let bounds = [
            format!("SET LOCAL statement_timeout = {statement}").into(),
            format!("SET LOCAL lock_timeout = {lock}").into(),
            format!("SET LOCAL idle_in_transaction_session_timeout = {idle}").into(),
        ];
        let room = Arc::new(Semaphore::new(settings.connections.max(1)));
        Self(Arc::new(Pool {
            server,
            settings,
            room,
            idle: Mutex::default(),
            nameless: AtomicBool::new(false),
            types: Mutex::default(),
            bounds,
        }))
    }
}

impl Database for PostgresSql {
    fn begin(&self, _: usize) -> BoxFuture<'_, Result<Arc<dyn Transaction>, SqlError>> {
        Box::pin(async move {
            let ending = |_| SqlError::Unavailable("this process is ending".to_owned());
            let permit = self.0.room.clone().acquire_owned().await.map_err(ending)?;
            let line = match self.0.idle_line() {
                Some(line) => line,
                None => self.0.clone().connect().await.map_err(|fault| {
                    SqlError::Unavailable(format!("the database cannot be connected to: {fault}"))
                })?,
            };
            let transaction = PostgresTransaction::new(self.0.clone(), line, permit);
            let transaction: Arc<dyn Transaction> = Arc::new(transaction);
            Ok(transaction)
        })
    }

    fn shared_by(&self) -> Option<usize> {
        self.0.settings.per_chunk.then_some(SHARED_BY)
    }
}

impl Pool {
    /// The one that was used last: the others may be closed for being idle.
    fn idle_line(&self) -> Option<Line> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|line| !line.is_closed())
    }

    async fn connect(self: Arc<Self>) -> Result<Line, Fault> {
        let server = self.server.clone();
        let connecting = server.by(CONNECT_WAIT, move |server| async move {
            let config = server.with_password().await?;
            let (wire, place) = dial(&config, server.tls(), self.settings.max_result).await?;
            Ok(Line::open(wire, place, &self))
        });
        connecting.await
    }

    /// Takes back a connection that is in no transaction.
    pub(crate) fn give(&self, line: Line) {
        self.idle().push(line);
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(crate) fn settings(&self) -> &SqlSettings {
        &self.settings
    }

    /// What is kept of a result.
    pub(crate) fn result_bounds(&self) -> Bounds {
        Bounds { rows: self.settings.max_rows, bytes: self.settings.max_result }
    }

    /// The statements that begin a transaction.
    pub(crate) fn begins(&self) -> Vec<Step> {
        let begin = std::iter::once(Step::ours("BEGIN", Vec::new()));
        begin.chain(self.bounds.iter().map(|text| Step::setting(text.clone()))).collect()
    }

    /// Whether statements are prepared under names.
    pub(crate) fn prepares(&self) -> bool {
        !self.nameless.load(Ordering::Relaxed)
    }

    /// Prepared statements were not there, or were there already: somebody gives transactions to connections
    /// of the server as they come.
    pub(crate) fn stop_preparing(&self, error: &ServerError) {
        if !self.nameless.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the database is reached through a pooler that does not keep prepared statements ({}): from \
                 now on each statement is parsed again, which costs time; PgBouncer keeps them from 1.21 on, \
                 with `max_prepared_statements`",
                error.words()
            );
        }
    }

    /// The name of a type of the user's, if it was asked for before.
    pub(crate) fn type_name(&self, oid: u32) -> Option<Arc<str>> {
        self.types().get(&oid).cloned()
    }

    pub(crate) fn knows_types(&self, types: impl IntoIterator<Item = (u32, Arc<str>)>) {
        self.types().extend(types);
    }

    fn types(&self) -> MutexGuard<'_, FxHashMap<u32, Arc<str>>> {
        self.types.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
