//! A PostgreSQL database, as it is configured.

use crate::books::PostgresBooks;
use crate::client::{Address, Server, Tls, TlsMode};
use crate::home::PostgresHome;
use crate::home_books::PostgresHomeBooks;
use crate::schema;
use pelton_core::broker::{Diagnosis, OpenError, Settings};
use pelton_core::database::{
    DatabaseBooks, DatabaseConfig, DatabaseHome, DatabaseUse, Offers, Password, WorkerIdentity,
};
use pelton_core::effects::HomeBooks;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Where it is; none where that could not be read, which is a problem noted already.
    address: Option<Address>,
    /// Looked up whenever a connection is made.
    password: Option<Password>,
    /// What handlers may have of it.
    pub(crate) limits: Limits,
}

/// What handlers may have of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections for the handlers of one pipeline, at most.
    pub connections: usize,
    /// How long a statement of a handler may take; none: as long as its call.
    pub statement_timeout: Option<Duration>,
    /// Rows of one result, at most.
    pub rows: u64,
    /// Bytes of one result, at most.
    pub result: usize,
}

/// Takes the table of a database apart.
#[must_use]
pub fn configure(settings: &dyn Settings, password: Option<Password>) -> PostgresConfig {
    let url = settings.required("url", "\"postgres://pelton@db.example/shop\"");
    let address = match Address::parse(&url) {
        Ok(address) => Some(address),
        Err(_) if url.is_empty() => None,
        Err(problem) => {
            settings.problem("url", problem);
            None
        }
    };
    if address.as_ref().is_some_and(Address::has_password) && password.is_some() {
        settings.problem("url", "has a password in it, beside `password`; take it out".to_owned());
    }
    let timeout = settings.duration("statement_timeout", Duration::ZERO);
    if settings.has("statement_timeout") && timeout < Duration::from_millis(1) {
        settings.problem("statement_timeout", "must be at least 1ms".to_owned());
    }
    let result = settings.size("max_result", 4 << 20);
    if !(1 << 10..=1 << 30).contains(&result) {
        settings.problem("max_result", "must be from 1KiB to 1GiB".to_owned());
    }
    let limits = Limits {
        connections: usize::try_from(settings.number("max_connections", 1..=1_000, 16)).unwrap_or(16),
        statement_timeout: settings.has("statement_timeout").then_some(timeout),
        rows: settings.number("max_rows", 1..=1_000_000, 10_000),
        result,
    };
    PostgresConfig { address, password, limits }
}

impl PostgresConfig {
    /// The way to it. Within a runtime, which its connections run on.
    pub(crate) fn server(&self, application: &str) -> Result<Arc<Server>, OpenError> {
        let address = self.address.as_ref().ok_or_else(no_address)?;
        Server::new(address, self.password.clone(), application).map_err(OpenError::Refused)
    }

    /// Its user, for statements that grant rights.
    pub(crate) fn user(&self) -> &str {
        self.address.as_ref().map_or("pelton", Address::user)
    }

    /// What is asked of TLS.
    pub(crate) fn tls(&self) -> Option<TlsMode> {
        self.address.as_ref().map(|address| address.tls)
    }
}

/// The configuration was refused then, and nobody opens it.
fn no_address() -> OpenError {
    OpenError::Settings("the database has no `url` that can be read".to_owned())
}

/// Without the login.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("address", &self.address)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl DatabaseConfig for PostgresConfig {
    fn describe(&self) -> String {
        match &self.address {
            Some(address) => format!("postgres {} at {}", address.database(), address.hosts()),
            None => "postgres".to_owned(),
        }
    }

    /// Where the password stands is known to whoever has configured this.
    fn is_same(&self, other: &dyn DatabaseConfig) -> bool {
        other.of::<Self>().is_some_and(|other| self.address == other.address && self.limits == other.limits)
    }

    fn offers(&self) -> Offers {
        Offers { effects: true, sql: true, letters: true }
    }

    fn connections(&self) -> usize {
        self.limits.connections
    }

    fn probe(&self) -> Vec<String> {
        let verified = |address: &&Address| matches!(address.tls, TlsMode::VerifyCa | TlsMode::VerifyFull);
        let address = self.address.as_ref().filter(verified);
        address.and_then(|address| Tls::of(address).err()).into_iter().collect()
    }

    fn diagnose(&self, uses: &[DatabaseUse]) -> Diagnosis {
        schema::diagnose(self, uses)
    }

    fn schema(&self) -> String {
        schema::printed(self.user())
    }

    fn init(&self) -> Result<Vec<String>, OpenError> {
        schema::init(self)
    }

    fn books(&self) -> Result<Box<dyn DatabaseBooks>, OpenError> {
        Ok(Box::new(PostgresBooks::open(self)?))
    }

    fn home_books(&self) -> Result<Box<dyn HomeBooks>, OpenError> {
        Ok(Box::new(PostgresHomeBooks::open(self)?))
    }

    fn open(&self, worker: &WorkerIdentity) -> Result<Arc<dyn DatabaseHome>, OpenError> {
        let server = self.server(&format!("pelton {}", worker.name))?;
        Ok(PostgresHome::open(server, worker.clone(), self.limits))
    }
}
