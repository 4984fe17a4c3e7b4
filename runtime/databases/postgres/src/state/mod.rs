//! State as handlers see it: what is committed, and over it what is shown in this process.

use crate::client::{Fault, Sessions, random};
use crate::effects::{Command, Names, ask, exchange};
use pelton_core::effects::{
    Bucket, Effects, Overlay, Shown, ShownValue, Stamp, Stamps, StateError, StateHome, Value, Write,
};
use pelton_core::ports::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const GET: &str =
    "SELECT key, value, stamp FROM pelton_state WHERE bucket = $1 AND key = ANY ($2::bytea[])";
const KEYS: &str = "SELECT key FROM pelton_state WHERE bucket = $1 AND key > $2 ORDER BY key LIMIT $3";

/// Bytes of all keys and values of a store.
pub(crate) const SIZE: &str = "SELECT coalesce(sum(length(key) + length(value)), 0)::int8 FROM pelton_state \
    WHERE bucket = $1";

/// The state that a database keeps.
pub(crate) struct PostgresState {
    sessions: Arc<Sessions>,
    names: Arc<Names>,
    overlay: Arc<Overlay>,
    stamps: Stamps,
}

impl PostgresState {
    pub fn new(sessions: Arc<Sessions>, names: Arc<Names>) -> Self {
        Self { sessions, names, overlay: Arc::default(), stamps: Stamps::from(random()) }
    }

    /// Whether a call has read what another of this process has written, which is on its way to be committed.
    pub fn is_behind(&self, effects: &Effects) -> bool {
        self.overlay.is_behind(effects)
    }

    /// Waits until it has read nothing that is on its way.
    pub async fn nothing_ahead(&self, effects: &Effects) {
        self.overlay.nothing_ahead(effects).await;
    }

    async fn number(&self, bucket: Bucket) -> Result<i64, Fault> {
        let numbers = self.names.numbers(&self.sessions, [bucket].into_iter(), std::iter::empty()).await?;
        Ok(numbers.bucket(bucket))
    }

    /// What is committed of keys: one round trip, however many they are.
    async fn committed(
        &self,
        bucket: Bucket,
        keys: Vec<Vec<u8>>,
    ) -> Result<HashMap<Vec<u8>, Value>, Fault> {
        let bucket = self.number(bucket).await?;
        exchange(&self.sessions, move |session| {
            Box::pin(async move {
                let get = Command::new(
                    GET,
                    vec![(Box::new(bucket), Type::INT8), (Box::new(keys), Type::BYTEA_ARRAY)],
                );
                let rows = ask(session, &[get]).await?;
                rows.iter().flatten().map(value).collect()
            })
        })
        .await
    }

    async fn read_all(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Result<Vec<Value>, Fault> {
        // What is shown first: what leaves there is in the database by then.
        let shown = self.overlay.of(bucket, keys);
        let missing = keys.iter().zip(&shown).filter(|(_, shown)| shown.is_none());
        let missing: Vec<Vec<u8>> = missing.map(|(key, _)| key.clone()).collect();
        let found =
            if missing.is_empty() { HashMap::new() } else { self.committed(bucket, missing).await? };
        let absent = Value { bytes: None, stamp: Stamp::ABSENT };
        let value = |(key, shown): (&Vec<u8>, Option<ShownValue>)| match shown {
            Some(shown) => shown.into(),
            None => found.get(key).unwrap_or(&absent).clone(),
        };
        Ok(keys.iter().zip(shown).map(value).collect())
    }

    async fn list(&self, bucket: Bucket, after: Vec<u8>, max: usize) -> Result<Vec<Vec<u8>>, Fault> {
        let bucket = self.number(bucket).await?;
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        exchange(&self.sessions, move |session| {
            Box::pin(async move {
                let keys = Command::new(
                    KEYS,
                    vec![
                        (Box::new(bucket), Type::INT8),
                        (Box::new(after), Type::BYTEA),
                        (Box::new(max), Type::INT8),
                    ],
                );
                let rows = ask(session, &[keys]).await?;
                rows.iter().flatten().map(|row| Ok(row.try_get(0)?)).collect()
            })
        })
        .await
    }

    async fn measure(&self, bucket: Bucket) -> Result<u64, Fault> {
        let bucket = self.number(bucket).await?;
        exchange(&self.sessions, move |session| {
            Box::pin(async move {
                let size = Command::new(SIZE, vec![(Box::new(bucket), Type::INT8)]);
                let rows = ask(session, &[size]).await?;
                let size: i64 = rows.iter().flatten().next().map_or(Ok(0), |row| row.try_get(0))?;
                Ok(u64::try_from(size).unwrap_or_default())
            })
        })
        .await
    }

    fn failed(&self, fault: &Fault) -> StateError {
        self.sessions.server().failed(fault);
        StateError(format!("state cannot be read now: {fault}"))
    }
}

fn value(row: &Row) -> Result<(Vec<u8>, Value), Fault> {
    let stamp: i64 = row.try_get(2)?;
    Ok((row.try_get(0)?, Value { bytes: Some(row.try_get(1)?), stamp: Stamp(stamp.cast_unsigned()) }))
}

impl StateHome for PostgresState {
    fn read<'a>(
        &'a self,
        bucket: Bucket,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<Vec<Value>, StateError>> {
        Box::pin(async move { self.read_all(bucket, keys).await.map_err(|fault| self.failed(&fault)) })
    }

    fn keys<'a>(
        &'a self,
        bucket: Bucket,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, StateError>> {
        // No key is empty.
        let after = after.unwrap_or_default().to_vec();
        Box::pin(async move { self.list(bucket, after, max).await.map_err(|fault| self.failed(&fault)) })
    }

    fn size(&self, bucket: Bucket) -> BoxFuture<'_, Result<u64, StateError>> {
        Box::pin(async move { self.measure(bucket).await.map_err(|fault| self.failed(&fault)) })
    }

    fn stamp(&self) -> Stamp {
        self.stamps.next()
    }

    fn show(&self, writes: &[Write]) -> Shown {
        self.overlay.show(writes)
    }
}
