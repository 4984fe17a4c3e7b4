//! Who lives. Each worker has an item with a counter that it keeps raising. Another one that sees the same
//! number for as long as a claim may stand, by its own clock and from when it first saw it, takes it for
//! dead: no two clocks are compared.

use crate::entry::{EXPIRES, Item, KEY, number};
use crate::fault::Fault;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue as Value, ReturnValue};
use pelton_broker_common::clock::wall_ms;
use pelton_core::database::WorkerIdentity;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The counter.
const BEAT: &str = "beat";
/// For people.
const NAME: &str = "name";
/// Of a data directory: the worker that has it.
const CURRENT: &str = "current";
/// How long the item of a worker is kept that raises it no more.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long what was read of a worker is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// How a worker was seen.
struct Seen {
    beat: u64,
    since: Instant,
    read: Instant,
}

/// This worker among the others of a table.
pub(crate) struct Workers {
    /// This incarnation's own, never used again.
    pub(crate) id: String,
    identity: WorkerIdentity,
    table: String,
    seen: Mutex<HashMap<String, Seen>>,
}

impl Workers {
    pub(crate) fn new(identity: &WorkerIdentity, table: &str) -> Self {
        // The standard library's own random number.
        let random = RandomState::new().build_hasher().finish();
        let mut digest = Sha256::new();
        digest.update(identity.data_dir.as_bytes());
        digest.update(random.to_be_bytes());
        digest.update(since_epoch().as_nanos().to_be_bytes());
        digest.update(std::process::id().to_be_bytes());
        let id = digest.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, identity: identity.clone(), table: table.to_owned(), seen: Mutex::default() }
    }

    /// Begins: others see it from now on, and the one before it in this data directory is over.
    pub(crate) async fn begin(&self, client: &Client) -> Result<(), Fault> {
        self.beat(client).await?;
        let place = Value::S(format!("directory/{}", self.identity.data_dir));
        let put = client
            .put_item()
            .table_name(&self.table)
            .item(KEY, place)
            .item(CURRENT, Value::S(self.id.clone()))
            .item(EXPIRES, kept_until())
            .return_values(ReturnValue::AllOld);
        let before = put.send().await.map_err(|error| Fault::of("beginning", &error))?.attributes;
        let before = before.and_then(|item| item.get(CURRENT)?.as_s().ok().cloned());
        match before.filter(|before| *before != self.id) {
            Some(before) => self.remove(client, &before).await,
            None => Ok(()),
        }
    }

    /// Lives on.
    pub(crate) async fn beat(&self, client: &Client) -> Result<(), Fault> {
        let update = client
            .update_item()
            .table_name(&self.table)
            .key(KEY, of(&self.id))
            .update_expression("ADD #beat :one SET #name = :name, #expires = :expires")
            .expression_attribute_names("#beat", BEAT)
            .expression_attribute_names("#name", NAME)
            .expression_attribute_names("#expires", EXPIRES)
            .expression_attribute_values(":one", Value::N("1".to_owned()))
            .expression_attribute_values(":name", Value::S(self.identity.name.clone()))
            .expression_attribute_values(":expires", kept_until());
        update.send().await.map_err(|error| Fault::of("saying that this worker lives", &error)).map(drop)
    }

    /// Ends in order: what it has claimed is anybody's.
    pub(crate) async fn end(&self, client: &Client) -> Result<(), Fault> {
        self.remove(client, &self.id).await
    }

    async fn remove(&self, client: &Client, worker: &str) -> Result<(), Fault> {
        let delete = client.delete_item().table_name(&self.table).key(KEY, of(worker));
        delete.send().await.map_err(|error| Fault::of("ending a worker", &error)).map(drop)
    }

    /// Whether a worker is dead: it has ended, or has not been heard of for as long as a claim may stand.
    pub(crate) async fn is_dead(
        &self,
        client: &Client,
        worker: &str,
        claim_timeout: Duration,
    ) -> Result<bool, Fault> {
        if worker == self.id {
            return Ok(false);
        }
        if let Some(seen) = self.seen().get(worker)
            && seen.read.elapsed() < BELIEVED
        {
            return Ok(seen.since.elapsed() >= claim_timeout);
        }
        let item = read(client, &self.table, of(worker)).await?;
        let beat = item.and_then(|item| number(&item, BEAT));
        let now = Instant::now();
        let mut all = self.seen();
        let Some(beat) = beat else {
            all.remove(worker);
            return Ok(true);
        };
        let seen = all.entry(worker.to_owned()).or_insert(Seen { beat, since: now, read: now });
        seen.read = now;
        if seen.beat != beat {
            (seen.beat, seen.since) = (beat, now);
        }
        Ok(seen.since.elapsed() >= claim_timeout)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What people know a worker by; none when it has ended.
pub(crate) async fn name(client: &Client, table: &str, worker: &str) -> Result<Option<String>, Fault> {
    let item = read(client, table, of(worker)).await?;
    Ok(item.and_then(|item| item.get(NAME)?.as_s().ok().cloned()))
}

/// An item as it is now.
pub(crate) async fn read(client: &Client, table: &str, key: Value) -> Result<Option<Item>, Fault> {
    let get = client.get_item().table_name(table).key(KEY, key).consistent_read(true);
    Ok(get.send().await.map_err(|error| Fault::of("reading", &error))?.item)
}

fn of(worker: &str) -> Value {
    Value::S(format!("worker/{worker}"))
}

fn kept_until() -> Value {
    Value::N((since_epoch() + KEPT).as_secs().to_string())
}

/// Now, as the service's removal of old items counts.
pub(crate) fn since_epoch() -> Duration {
    Duration::from_millis(wall_ms())
}
