//! A pipeline's part of a database of its own, as a worker has it.

use pelton_core::broker::Settings;
use pelton_core::database::{
    DatabaseConfig, DatabaseHome, DatabasePipeline, DatabaseUse, Password, WorkerIdentity,
};
use pelton_core::effects::{Database, Rows, SqlError, SqlValue, Statement, Transaction};
use pelton_tests::postgres::{Db, Postgres};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The server of all tests that run at a time: it ends with the last of them.
pub fn server() -> Arc<Postgres> {
    static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::with_options("-c log_statement=all"));
        *running = Arc::downgrade(&server);
        server
    })
}

/// How the pipeline wants it.
#[derive(Clone)]
pub struct Wants {
    pub connections: u64,
    pub statement_timeout: Duration,
    pub max_rows: u64,
    pub max_result: usize,
    pub per_chunk: bool,
}

impl Default for Wants {
    fn default() -> Self {
        Self {
            connections: 4,
            statement_timeout: Duration::from_secs(20),
            max_rows: 10_000,
            max_result: 4 << 20,
            per_chunk: false,
        }
    }
}

pub struct Shop {
    pub server: Arc<Postgres>,
    pub db: Db,
    pub runtime: Runtime,
    pub part: Arc<dyn DatabasePipeline>,
    pub database: Arc<dyn Database>,
    _home: Arc<dyn DatabaseHome>,
}

impl Shop {
    pub fn open() -> Self {
        Self::wanting(Wants::default())
    }

    pub fn wanting(wants: Wants) -> Self {
        let server = server();
        let db = server.database();
        db.run("CREATE TABLE stock (item text PRIMARY KEY, left_over int NOT NULL CHECK (left_over >= 0))");
        Self::at(server, db, wants)
    }

    /// By another way, such as a proxy.
    pub fn at(server: Arc<Postgres>, db: Db, wants: Wants) -> Self {
        let url = format!("{}?application_name=shop", db.url());
        Self::by(server, db, &url, None, &wants)
    }

    /// By a URL, and with a password.
    pub fn by(server: Arc<Postgres>, db: Db, url: &str, password: Option<Password>, wants: &Wants) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("it is there");
        let home = runtime.block_on(async { open(url, password, wants) });
        let part = home.pipeline(usage(wants)).expect("it is there");
        let database = part.sql().expect("its handlers run statements");
        Self { server, db, runtime, part, database, _home: home }
    }

    pub fn begin(&self) -> Tx<'_> {
        Tx { shop: self, transaction: self.runtime.block_on(self.database.begin(1)).expect("it is there") }
    }

    /// Of a call of so many messages.
    pub fn begin_for(&self, messages: usize) -> Tx<'_> {
        Tx {
            shop: self,
            transaction: self.runtime.block_on(self.database.begin(messages)).expect("it is there"),
        }
    }
}

fn open(url: &str, password: Option<Password>, wants: &Wants) -> Arc<dyn DatabaseHome> {
    let config = pelton_postgres::configure(&table(url, wants), password);
    config.init().expect("the tables can be made");
    config.open(&worker()).expect("it is there")
}

/// What the configuration says.
pub fn table(url: &str, wants: &Wants) -> Table {
    Table(BTreeMap::from([
        ("url", url.to_owned()),
        ("max_connections", wants.connections.to_string()),
        ("max_rows", wants.max_rows.to_string()),
        ("max_result", wants.max_result.to_string()),
        ("statement_timeout", wants.statement_timeout.as_millis().to_string()),
    ]))
}

/// What handlers have of a database that nobody has looked at. Within a runtime.
pub fn unchecked(table: &Table) -> Arc<dyn Database> {
    let home = pelton_postgres::configure(table, None).open(&worker()).expect("it need not be there");
    let part = home.pipeline(usage(&Wants::default())).expect("it is there");
    part.sql().expect("its handlers run statements")
}

fn worker() -> WorkerIdentity {
    WorkerIdentity { data_dir: "d1".into(), name: "test".to_owned() }
}

fn usage(wants: &Wants) -> DatabaseUse {
    DatabaseUse {
        ledger: "orders".into(),
        source: "test".to_owned(),
        expires_after_ms: Some(86_400_000),
        claim_timeout_ms: 300_000,
        connections: 4,
        timeout_ms: 30_000,
        per_chunk: wants.per_chunk,
        letters: false,
        state: false,
        outbox: false,
    }
}

/// A transaction, as a handler sees it.
pub struct Tx<'s> {
    shop: &'s Shop,
    pub transaction: Arc<dyn Transaction>,
}

impl Tx<'_> {
    pub fn query(&self, text: &str, parameters: &[SqlValue]) -> Result<Rows, SqlError> {
        self.shop.runtime.block_on(self.transaction.run(statement(text, parameters), true))
    }

    pub fn execute(&self, text: &str, parameters: &[SqlValue]) -> Result<u64, SqlError> {
        let ran = self.shop.runtime.block_on(self.transaction.run(statement(text, parameters), false));
        ran.map(|rows| {
            assert!(rows.rows.is_empty());
            rows.affected
        })
    }

    pub fn stage(&self, text: &str, parameters: &[SqlValue]) {
        self.shop
            .runtime
            .block_on(self.transaction.stage(statement(text, parameters)))
            .expect("it is there");
    }

    /// The only value of a query.
    pub fn value(&self, text: &str, parameters: &[SqlValue]) -> SqlValue {
        let rows = self.query(text, parameters).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        rows.rows.into_iter().next().and_then(|row| row.into_iter().next()).expect("there is one")
    }

    pub fn begins_message(&self) {
        self.shop.runtime.block_on(self.transaction.begins_message());
    }

    pub fn undoes_message(&self) {
        self.shop.runtime.block_on(self.transaction.undoes_message());
    }
}

pub fn statement(text: &str, parameters: &[SqlValue]) -> Statement {
    Statement { text: text.to_owned(), parameters: parameters.to_vec() }
}

pub fn text(value: &str) -> SqlValue {
    SqlValue::Text(value.to_owned())
}

/// The SQLSTATE of an answer of the database.
pub fn code<T: std::fmt::Debug>(answer: Result<T, SqlError>) -> String {
    match answer {
        Err(SqlError::Database { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

/// A table of the configuration, without references and units.
pub struct Table(BTreeMap<&'static str, String>);

impl Settings for Table {
    fn has(&self, key: &'static str) -> bool {
        self.0.contains_key(key)
    }

    fn text(&self, key: &'static str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn texts(&self, _: &'static str) -> Vec<String> {
        Vec::new()
    }

    fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.0.get(key).map_or(default, |text| Duration::from_millis(text.parse().expect("it is there")))
    }

    fn size(&self, key: &'static str, default: usize) -> usize {
        self.0.get(key).map_or(default, |text| text.parse().expect("it is there"))
    }

    fn number(&self, key: &'static str, _: RangeInclusive<u64>, default: u64) -> u64 {
        self.0.get(key).map_or(default, |text| text.parse().expect("it is there"))
    }

    fn flag(&self, _: &'static str, default: bool) -> bool {
        default
    }

    fn choice(&self, _: &'static str, _: &[&str], default: usize) -> usize {
        default
    }

    fn table(&self, _: &'static str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn problem(&self, key: &str, what: String) {
        panic!("{key} {what}");
    }
}
