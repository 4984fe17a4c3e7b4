//! The table as a worker has it open.

use crate::client;
use crate::config::DynamoConfig;
use crate::entry::{Condition, EXPIRES, Entry, Item, KEY};
use crate::fault::Fault;
use crate::ledger::DynamoLedger;
use crate::pipeline::Pipeline;
use crate::steering;
use crate::workers::Workers;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue as Value, ReturnValuesOnConditionCheckFailure};
use pelton_core::broker::OpenError;
use pelton_core::database::{
    DatabaseHome, DatabasePipeline, DatabaseUse, SteeringChange, SteeringError, WorkerIdentity,
};
use pelton_core::effects::{OutboxHome, StateHome};
use pelton_core::ports::BoxFuture;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// A worker says that it lives so many times while a claim may stand.
const BEATS: u64 = 5;
/// And at least so often, and at most.
const BEAT_MS: (u64, u64) = (50, 20_000);

/// A table, and what this worker knows of it.
pub(crate) struct Table {
    config: DynamoConfig,
    client: OnceCell<Client>,
    pub(crate) workers: Workers,
    begun: OnceCell<()>,
    trouble: Mutex<Option<String>>,
    claims: AtomicU64,
    beat_ms: AtomicU64,
}

/// What a write under a condition came to.
pub(crate) enum Written {
    Done,
    /// The condition does not hold: what is there.
    Refused(Option<Entry>),
}

impl Table {
    pub(crate) fn name(&self) -> &str {
        &self.config.table
    }

    /// Nothing is sent for it but what credentials need.
    pub(crate) async fn client(&self) -> &Client {
        self.client.get_or_init(|| client::make(&self.config)).await
    }

    /// Has others see this worker, before it claims anything.
    pub(crate) async fn begin(&self) -> Result<(), Fault> {
        let begin = async || self.workers.begin(self.client().await).await;
        self.begun.get_or_try_init(begin).await.map(drop)
    }

    /// The number of another claim of this worker.
    pub(crate) fn next_claim(&self) -> u64 {
        self.claims.fetch_add(1, Relaxed)
    }

    /// Writes an entry where the condition holds.
    pub(crate) async fn put(&self, entry: &Entry, condition: Condition) -> Result<Written, Fault> {
        let put = self
            .client()
            .await
            .put_item()
            .table_name(self.name())
            .set_item(Some(entry.item()))
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(condition.names))
            .set_expression_attribute_values((!condition.values.is_empty()).then_some(condition.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match put.send().await {
            Ok(_) => return Ok(Written::Done),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                // Not every emulator gives it back.
                let item = match refused.item() {
                    Some(item) => Some(item.clone()),
                    None => self.read(&entry.key).await?,
                };
                Ok(Written::Refused(item.as_ref().and_then(Entry::read)))
            }
            _ => Err(Fault::of("writing", &error)),
        }
    }

    /// Writes an entry over whatever there is.
    pub(crate) async fn put_over(&self, entry: &Entry) -> Result<(), Fault> {
        let put = self.client().await.put_item().table_name(self.name()).set_item(Some(entry.item()));
        put.send().await.map(drop).map_err(|error| Fault::of("writing", &error))
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Option<Item>, Fault> {
        crate::workers::read(self.client().await, self.name(), Value::S(key.to_owned())).await
    }

    /// Notes what a ledger's name is used for; whether that is so, or the source that it was noted with.
    pub(crate) async fn note_source(
        &self,
        ledger: &str,
        source: &str,
    ) -> Result<Result<(), String>, Fault> {
        let key = source_key(ledger);
        let put = self
            .client()
            .await
            .put_item()
            .table_name(self.name())
            .item(KEY, Value::S(key.clone()))
            .item(SOURCE, Value::S(source.to_owned()))
            .condition_expression("attribute_not_exists(#pk) OR #source = :source")
            .expression_attribute_names("#pk", KEY)
            .expression_attribute_names("#source", SOURCE)
            .expression_attribute_values(":source", Value::S(source.to_owned()));
        let Err(error) = put.send().await else { return Ok(Ok(())) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => {
                let noted = self.read(&key).await?.and_then(|item| item.get(SOURCE)?.as_s().ok().cloned());
                Ok(Err(noted.unwrap_or_default()))
            }
            _ => Err(Fault::of("noting the ledger", &error)),
        }
    }

    /// Keeps what was heard of the service, for people; a change of it is logged.
    pub(crate) fn heard<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        let words = result.as_ref().err().map(|fault| fault.words.clone());
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, &words) {
            (None, Some(words)) => tracing::warn!(table = self.name(), "the ledger is in trouble: {words}"),
            (Some(_), None) => tracing::info!(table = self.name(), "the ledger works again"),
            _ => {}
        }
        *trouble = words;
        drop(trouble);
        result
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map(|words| format!("{}: {words}", self.describe()))
    }

    fn describe(&self) -> String {
        pelton_core::database::DatabaseConfig::describe(&self.config)
    }

    /// Says for as long as the process runs that this worker lives.
    async fn lives(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(self.beat_ms.load(Relaxed))).await;
            if self.begun.initialized() {
                // What stands against it is kept for people; a claim that was taken over completes nothing.
                drop(self.heard(self.workers.beat(self.client().await).await));
            }
        }
    }
}

/// What a source was noted as.
pub(crate) const SOURCE: &str = "source";

pub(crate) fn source_key(ledger: &str) -> String {
    format!("ledger/{ledger}")
}

/// Why a worker is refused that reads another source under a ledger's name.
pub(crate) fn other_source(ledger: &str, source: &str, noted: &str) -> String {
    use pelton_core::shown::shown;
    format!(
        "the ledger `{}` belongs to {}, and this pipeline reads {}: give this one another name with \
         `ledger.name`, or remove the item `{}` if that source is gone",
        shown(ledger).at_most(100),
        shown(noted).at_most(200),
        shown(source).at_most(200),
        shown(&source_key(ledger)).at_most(120),
    )
}

/// A worker's, for all its pipelines.
pub(crate) struct Home {
    table: Arc<Table>,
    beats: AtomicBool,
    beating: Mutex<Option<tokio::task::AbortHandle>>,
}

impl Home {
    pub(crate) fn new(config: DynamoConfig, client: OnceCell<Client>, worker: &WorkerIdentity) -> Self {
        let workers = Workers::new(worker, &config.table);
        let table = Table {
            config,
            client,
            workers,
            begun: OnceCell::new(),
            trouble: Mutex::default(),
            claims: AtomicU64::new(1),
            beat_ms: AtomicU64::new(BEAT_MS.1),
        };
        Self { table: Arc::new(table), beats: AtomicBool::new(false), beating: Mutex::default() }
    }

    fn keep_beating(&self, claim_timeout_ms: u64) {
        let often = (claim_timeout_ms / BEATS).clamp(BEAT_MS.0, BEAT_MS.1);
        self.table.beat_ms.fetch_min(often, Relaxed);
        if !self.beats.swap(true, Relaxed) {
            let task = tokio::spawn(self.table.clone().lives());
            *self.beating.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        }
    }

    fn stop_beating(&self) {
        if let Some(task) = self.beating.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl DatabaseHome for Home {
    fn pipeline(&self, wants: DatabaseUse) -> Result<Arc<dyn DatabasePipeline>, OpenError> {
        self.keep_beating(wants.claim_timeout_ms);
        Ok(Arc::new(Pipeline(Arc::new(DynamoLedger::new(self.table.clone(), wants)))))
    }

    fn state(&self) -> Option<Arc<dyn StateHome>> {
        None
    }

    fn outbox(&self) -> Option<Arc<dyn OutboxHome>> {
        None
    }

    fn steering(
        &self,
        ledgers: Vec<Arc<str>>,
    ) -> BoxFuture<'_, Result<Vec<Option<String>>, SteeringError>> {
        Box::pin(async move {
            let client = self.table.client().await;
            let mut all = Vec::with_capacity(ledgers.len());
            for ledger in &ledgers {
                let read = steering::steering(client, self.table.name(), ledger).await;
                all.push(read.map_err(|fault| SteeringError::Away(fault.words))?);
            }
            Ok(all)
        })
    }

    fn steer(
        &self,
        ledger: Arc<str>,
        change: SteeringChange,
    ) -> BoxFuture<'_, Result<bool, SteeringError>> {
        Box::pin(async move {
            let client = self.table.client().await;
            let steered = steering::steer(client, self.table.name(), &ledger, &change).await;
            steered.map_err(|fault| SteeringError::Away(fault.words))
        })
    }

    fn trouble(&self) -> Option<String> {
        self.table.trouble()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.stop_beating();
        Box::pin(async move {
            if self.table.begun.initialized() {
                // If it cannot be told, the others find out by themselves.
                drop(self.table.heard(self.table.workers.end(self.table.client().await).await));
            }
        })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stop_beating();
    }
}

/// Whether an entry has expired by now, whether the service has removed it or not.
pub(crate) fn has_expired(entry: &Entry) -> bool {
    entry.expires <= crate::workers::since_epoch().as_secs()
}

/// The attribute by which the service removes items.
pub(crate) const REMOVED_BY: &str = EXPIRES;
