//! The database of cases: each case is one transaction, which is rolled back at its end, and each message
//! has a part of it that is kept or undone as the message ends.

use super::schema;
use crate::config::HomeConfig;
use crate::exit::Fail;
use crate::project::Project;
use pelton_core::database::{DatabaseHome, DatabaseUse, WorkerIdentity};
use pelton_core::effects::{Database, Effects, Rows, SqlError, Statement, Transaction, TransactionState};
use pelton_core::ports::BoxFuture;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Messages that the database is told to expect in a transaction.
const MESSAGES: usize = 32;
/// When claims may be taken over; nobody claims here.
const CLAIM_TIMEOUT_MS: u64 = 300_000;

/// A database, and the case that runs in it.
pub struct CaseDatabase {
    cases: Arc<Cases>,
    home: Arc<dyn DatabaseHome>,
    timeout: Duration,
    schema: Option<(String, String)>,
    // Last: what is above ends within it.
    runtime: Runtime,
}

/// What handlers run their statements in.
#[derive(Default)]
pub struct Cases {
    case: Mutex<Option<Arc<CaseRun>>>,
}

/// The transaction of a case.
struct CaseRun {
    whole: Arc<dyn Transaction>,
    /// What the last message did does not count.
    undo: AtomicBool,
    /// Constraints that wait for the commit were asked for.
    asked: AtomicBool,
}

impl CaseDatabase {
    /// Opens the database of this name at this address. Nothing is asked of it before the first case.
    ///
    /// # Errors
    /// It cannot be opened, or the schema cannot be read.
    pub fn open(project: &Project, found: &HomeConfig, timeout: Duration) -> Result<Self, Fail> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let pid = std::process::id();
        let identity =
            WorkerIdentity { data_dir: format!("cases-{pid}").into(), name: format!("pelton test {pid}") };
        let opened = runtime.block_on(async { found.database.open(&identity) });
        let home =
            opened.map_err(|error| Fail::refused(format!("{}: {error}", found.database.describe())))?;
        let file = project.manifest.sql.as_ref().map(|sql| sql.schema.display().to_string());
        let schema = file.zip(schema(project)?);
        Ok(Self { cases: Arc::default(), home, timeout, schema, runtime })
    }

    /// What handlers are granted.
    pub fn database(&self) -> Arc<dyn Database> {
        self.cases.clone()
    }

    /// Begins a case, on the tables of the schema. What was before it is rolled back.
    ///
    /// # Errors
    /// In words: the database is away, or the schema is wrong.
    pub fn begin(&self) -> Result<(), String> {
        // A connection of its own: what a case leaves in a session is not the next one's.
        self.end();
        let pipeline = self.runtime.block_on(async { self.home.pipeline(self.wants()) });
        let pipeline = pipeline.map_err(|error| error.to_string())?;
        let database = pipeline.sql().ok_or("it runs no statements")?;
        let whole = self.runtime.block_on(database.begin(MESSAGES)).map_err(|error| words(&error))?;
        let case = Arc::new(CaseRun { whole, undo: AtomicBool::new(false), asked: AtomicBool::new(false) });
        self.runtime.block_on(case.whole.begins_message());
        if let Some((file, text)) = &self.schema {
            self.runtime.block_on(case.make(text)).map_err(|error| format!("{file}: {}", words(&error)))?;
        }
        *lock(&self.cases.case) = Some(case);
        Ok(())
    }

    /// Ends the case: nothing of it was ever done.
    pub fn end(&self) {
        *lock(&self.cases.case) = None;
    }

    /// Runs statements before the messages, several if there are.
    ///
    /// # Errors
    /// In words.
    pub fn run(&self, text: &str) -> Result<(), String> {
        let text = text.to_owned();
        self.asks(|case| Box::pin(async move { case.several(&text).await }))
    }

    /// What a query gives, where the case has come to.
    ///
    /// # Errors
    /// In words.
    pub fn query(&self, text: &str) -> Result<Rows, String> {
        let statement = Statement { text: text.to_owned(), parameters: Vec::new() };
        self.asks(|case| Box::pin(async move { case.whole.run(statement, true).await }))
    }

    fn asks<T>(
        &self,
        ask: impl for<'c> FnOnce(&'c CaseRun) -> BoxFuture<'c, Result<T, SqlError>>,
    ) -> Result<T, String> {
        let case = lock(&self.cases.case).clone().ok_or("no case has begun")?;
        self.runtime.block_on(async {
            case.begins_message().await;
            let done = ask(&case).await;
            // What has failed must not stand in the way of what comes.
            case.undo.store(done.is_err(), SeqCst);
            done.map_err(|error| words(&error))
        })
    }

    /// Whether what a call has done can be committed: what was staged is waited for, and what constraints
    /// wait for the commit are asked for. `Err` says why not: the message fails by it.
    pub fn holds(&self, effects: &Effects) -> Result<(), String> {
        let Some(part) = effects.transaction.as_ref().and_then(|open| open.of::<CasePart>()) else {
            return Ok(());
        };
        self.runtime.block_on(part.case.holds())
    }

    /// What a call has done counts from now on.
    pub fn keep(&self, effects: &Effects) {
        let part = effects.transaction.as_ref().and_then(|open| open.of::<CasePart>());
        part.inspect(|part| part.kept.store(true, SeqCst));
    }

    fn wants(&self) -> DatabaseUse {
        DatabaseUse {
            ledger: "cases".into(),
            source: String::new(),
            expires_after_ms: None,
            claim_timeout_ms: CLAIM_TIMEOUT_MS,
            connections: 1,
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            per_chunk: true,
            letters: false,
            state: false,
            outbox: false,
        }
    }
}

impl CaseRun {
    /// The tables of the schema, in a namespace that nobody else has and that is looked into first.
    async fn make(&self, schema: &str) -> Result<(), SqlError> {
        let name = format!("pelton_case_{}", std::process::id());
        let path =
            format!("select set_config('search_path', '{name}, ' || current_setting('search_path'), true)");
        for text in [format!("create schema {name}"), path] {
            self.whole.run(Statement { text, parameters: Vec::new() }, false).await?;
        }
        self.several(schema).await
    }

    /// Runs a text of several statements.
    async fn several(&self, text: &str) -> Result<(), SqlError> {
        let mut tag = "pelton".to_owned();
        while text.contains(&tag) {
            tag.push('x');
        }
        let text = format!("do ${tag}_do$ begin execute ${tag}${text}${tag}$; end ${tag}_do$");
        self.whole.run(Statement { text, parameters: Vec::new() }, false).await.map(drop)
    }

    async fn begins_message(&self) {
        if self.undo.swap(false, SeqCst) {
            self.whole.undoes_message().await;
        }
        self.whole.begins_message().await;
        if self.asked.swap(false, SeqCst) {
            // As it is in a transaction that begins; why that fails, the next statement says.
            let text = "set constraints all deferred".to_owned();
            drop(self.whole.run(Statement { text, parameters: Vec::new() }, false).await);
        }
    }

    async fn holds(&self) -> Result<(), String> {
        let text = "set constraints all immediate".to_owned();
        let done = self.whole.run(Statement { text, parameters: Vec::new() }, false).await;
        self.asked.store(true, SeqCst);
        match (self.whole.standing(), done) {
            (TransactionState::Open, Ok(_)) => Ok(()),
            (TransactionState::Failed(why) | TransactionState::Again(why), _) => Err(why),
            (TransactionState::Open, Err(error)) => Err(words(&error)),
        }
    }
}

impl Database for Cases {
    fn begin(&self, _: usize) -> BoxFuture<'_, Result<Arc<dyn Transaction>, SqlError>> {
        Box::pin(async move {
            let case = lock(&self.case).clone();
            let none = || {
                SqlError::Unavailable("there is no database while a component is only looked at".to_owned())
            };
            let part = CasePart {
                case: case.ok_or_else(none)?,
                begun: AtomicBool::new(false),
                kept: AtomicBool::new(false),
            };
            let part: Arc<dyn Transaction> = Arc::new(part);
            Ok(part)
        })
    }
}

/// The part of a case that one call has. Undone when it is dropped, unless it was kept.
struct CasePart {
    case: Arc<CaseRun>,
    begun: AtomicBool,
    kept: AtomicBool,
}

impl CasePart {
    async fn begins(&self) {
        if !self.begun.load(SeqCst) {
            self.case.begins_message().await;
            self.begun.store(true, SeqCst);
        }
    }
}

impl Transaction for CasePart {
    fn run(&self, statement: Statement, wants_rows: bool) -> BoxFuture<'_, Result<Rows, SqlError>> {
        Box::pin(async move {
            self.begins().await;
            self.case.whole.run(statement, wants_rows).await
        })
    }

    fn stage(&self, statement: Statement) -> BoxFuture<'_, Result<(), SqlError>> {
        Box::pin(async move {
            self.begins().await;
            self.case.whole.stage(statement).await
        })
    }

    /// Never told: each call has a part of its own.
    fn begins_message(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn undoes_message(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn standing(&self) -> TransactionState {
        self.case.whole.standing()
    }
}

impl Drop for CasePart {
    fn drop(&mut self) {
        if self.begun.load(SeqCst) && !self.kept.load(SeqCst) {
            self.case.undo.store(true, SeqCst);
        }
    }
}

/// An error in words.
fn words(error: &SqlError) -> String {
    match error {
        SqlError::Refused(words) | SqlError::Unavailable(words) => words.clone(),
        SqlError::Database { code, message, detail, .. } => match detail {
            Some(detail) => format!("{message}: {detail} ({code})"),
            None => format!("{message} ({code})"),
        },
        SqlError::TooLarge(most) => format!("the result has more than {most} rows or bytes"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
