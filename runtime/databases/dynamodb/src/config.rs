//! Where the table is.

use crate::books::Books;
use crate::client;
use crate::fault::Fault;
use crate::home::Home;
use crate::schema;
use aws_sdk_dynamodb::Client;
use pelton_broker_common::blocking::BlockingRuntime;
use pelton_core::broker::{Diagnosis, OpenError, Settings};
use pelton_core::database::{
    DatabaseBooks, DatabaseConfig, DatabaseHome, DatabaseUse, Offers, WorkerIdentity,
};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A table for ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoConfig {
    /// Its name.
    pub table: String,
    /// The region; by the SDK's usual chain where none is said.
    pub region: Option<String>,
    /// Another address than the region's: an emulator, a private endpoint.
    pub endpoint_url: Option<String>,
}

/// Reads `dynamodb = { table = "...", region = "...", endpoint_url = "..." }`.
pub fn configure(settings: &dyn Settings) -> DynamoConfig {
    let table = settings.required("table", "\"pelton\"");
    // Its own rule: letters, digits, `_`, `-` and `.`, 3 to 255 of them.
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_one = (3..=255).contains(&table.len()) && table.chars().all(is_name);
    if !is_one && !table.is_empty() {
        let what = "is no name of a table: 3 to 255 letters, digits, `_`, `-` and `.`";
        settings.problem("table", what.to_owned());
    }
    DynamoConfig {
        table,
        region: settings.optional("region"),
        endpoint_url: settings.optional("endpoint_url"),
    }
}

impl DynamoConfig {
    /// Opens it by a client that was made elsewhere.
    #[must_use]
    pub fn open_with(&self, client: Client, worker: &WorkerIdentity) -> Arc<dyn DatabaseHome> {
        Arc::new(Home::new(self.clone(), OnceCell::new_with(Some(client)), worker))
    }

    /// Makes the table by a client that was made elsewhere; what was done.
    ///
    /// # Errors
    /// The service says no, in words.
    pub async fn init_with(&self, client: &Client) -> Result<Vec<String>, String> {
        schema::init(client, &self.table).await.map_err(|fault| fault.words)
    }

    /// Runs what asks the service, and waits for it.
    pub(crate) fn ask<T>(
        &self,
        asks: impl AsyncFnOnce(Client) -> Result<T, Fault>,
    ) -> Result<T, OpenError> {
        let failed = |words: String| OpenError::Refused(format!("{}: {words}", self.describe()));
        let runtime = BlockingRuntime::new().map_err(|error| failed(error.to_string()))?;
        runtime
            .block_on(async { asks(client::make(self).await).await })
            .map_err(|fault| failed(fault.words))
    }
}

impl DatabaseConfig for DynamoConfig {
    fn describe(&self) -> String {
        let place = match (&self.endpoint_url, &self.region) {
            (Some(address), _) => format!(" at {address}"),
            (None, Some(region)) => format!(" in {region}"),
            (None, None) => String::new(),
        };
        format!("dynamodb table {}{place}", self.table)
    }

    fn is_same(&self, other: &dyn DatabaseConfig) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn offers(&self) -> Offers {
        Offers { effects: false, sql: false, letters: false }
    }

    fn connections(&self) -> usize {
        0
    }

    fn probe(&self) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self, uses: &[DatabaseUse]) -> Diagnosis {
        let asked = self.ask(async |client| schema::diagnose(&client, &self.table, uses).await);
        asked.unwrap_or_else(|error| Diagnosis { problems: vec![error.to_string()], warnings: Vec::new() })
    }

    fn schema(&self) -> String {
        schema::commands(self)
    }

    fn init(&self) -> Result<Vec<String>, OpenError> {
        self.ask(async |client| schema::init(&client, &self.table).await)
    }

    fn books(&self) -> Result<Box<dyn DatabaseBooks>, OpenError> {
        Ok(Box::new(Books(self.clone())))
    }

    fn open(&self, worker: &WorkerIdentity) -> Result<Arc<dyn DatabaseHome>, OpenError> {
        Ok(Arc::new(Home::new(self.clone(), OnceCell::new(), worker)))
    }
}
