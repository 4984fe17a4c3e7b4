//! Stores and targets by name. This process numbers them as it meets them, so that a worker begins though
//! the database is away; the database's own numbers are asked for when they are needed first, and known by
//! heart then.

use super::ask::{Command, ask, exchange};
use crate::client::{Fault, Session, Sessions};
use pelton_core::effects::{Bucket, Target};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_postgres::types::Type;

/// The first number is 1, as those of the database.
#[derive(Default)]
struct Named {
    names: Vec<(Arc<str>, Arc<str>)>,
    /// The database's numbers, as far as they are known.
    numbers: BTreeMap<i64, i64>,
}

impl Named {
    fn number(&mut self, ledger: &str, name: &str) -> i64 {
        let known = self.names.iter().position(|(l, n)| **l == *ledger && **n == *name);
        let place = known.unwrap_or_else(|| {
            self.names.push((ledger.into(), name.into()));
            self.names.len() - 1
        });
        i64::try_from(place).unwrap_or(i64::MAX).saturating_add(1)
    }

    fn name(&self, number: i64) -> Option<(Arc<str>, Arc<str>)> {
        self.names.get(usize::try_from(number).ok()?.checked_sub(1)?).cloned()
    }
}

/// What this process has named.
#[derive(Default)]
pub(crate) struct Names {
    stores: Mutex<Named>,
    targets: Mutex<Named>,
}

/// The database's numbers of what is asked for.
#[derive(Debug, Default)]
pub(crate) struct NumberOf {
    stores: BTreeMap<i64, i64>,
    targets: BTreeMap<i64, i64>,
}

impl NumberOf {
    /// Of one whose number is the database's already.
    pub fn itself(bucket: Bucket) -> Self {
        Self { stores: [(bucket.0, bucket.0)].into(), targets: BTreeMap::new() }
    }

    /// 0 is nobody's: what was not asked for.
    pub fn bucket(&self, bucket: Bucket) -> i64 {
        self.stores.get(&bucket.0).copied().unwrap_or_default()
    }

    /// As of `bucket`.
    pub fn target(&self, target: Target) -> i64 {
        self.targets.get(&target.0).copied().unwrap_or_default()
    }
}

/// Gives the number of a name, which it makes where it is not there. None where another was just making it.
const STORE: &str = "WITH made AS (INSERT INTO pelton_stores (ledger, name) SELECT $1, $2 \
    WHERE NOT EXISTS (SELECT FROM pelton_stores WHERE ledger = $1 AND name = $2) \
    ON CONFLICT DO NOTHING RETURNING id) \
    SELECT id FROM made UNION ALL SELECT id FROM pelton_stores WHERE ledger = $1 AND name = $2";
const TARGET: &str = "WITH made AS (INSERT INTO pelton_targets (ledger, name) SELECT $1, $2 \
    WHERE NOT EXISTS (SELECT FROM pelton_targets WHERE ledger = $1 AND name = $2) \
    ON CONFLICT DO NOTHING RETURNING id) \
    SELECT id FROM made UNION ALL SELECT id FROM pelton_targets WHERE ledger = $1 AND name = $2";

impl Names {
    pub fn bucket(&self, ledger: &str, store: &str) -> i64 {
        lock(&self.stores).number(ledger, store)
    }

    pub fn target(&self, ledger: &str, name: &str) -> i64 {
        lock(&self.targets).number(ledger, name)
    }

    /// The database's numbers of these.
    pub async fn numbers(
        &self,
        sessions: &Arc<Sessions>,
        buckets: impl Iterator<Item = Bucket>,
        targets: impl Iterator<Item = Target>,
    ) -> Result<NumberOf, Fault> {
        let stores = of(sessions, &self.stores, STORE, buckets.map(|bucket| bucket.0).collect()).await?;
        let targets = of(sessions, &self.targets, TARGET, targets.map(|target| target.0).collect()).await?;
        Ok(NumberOf { stores, targets })
    }
}

async fn of(
    sessions: &Arc<Sessions>,
    named: &Mutex<Named>,
    sql: &'static str,
    wanted: Vec<i64>,
) -> Result<BTreeMap<i64, i64>, Fault> {
    let mut numbers = BTreeMap::new();
    for number in wanted {
        if numbers.contains_key(&number) {
            continue;
        }
        let (known, name) = {
            let named = lock(named);
            (named.numbers.get(&number).copied(), named.name(number))
        };
        let found = match (known, name) {
            (Some(known), _) => known,
            (None, Some((ledger, name))) => {
                let asking = exchange(sessions, move |session| {
                    Box::pin(async move { ask_for(session, sql, &ledger, &name).await })
                });
                asking.await?
            }
            (None, None) => continue,
        };
        lock(named).numbers.insert(number, found);
        numbers.insert(number, found);
    }
    Ok(numbers)
}

async fn ask_for(session: &Session, sql: &'static str, ledger: &str, name: &str) -> Result<i64, Fault> {
    loop {
        let (ledger, name): (String, String) = (ledger.to_owned(), name.to_owned());
        let named = Command::new(sql, vec![(Box::new(ledger), Type::TEXT), (Box::new(name), Type::TEXT)]);
        let rows = ask(session, &[named]).await?;
        if let Some(row) = rows.iter().flatten().next() {
            return Ok(row.try_get(0)?);
        }
    }
}

/// The number of a store, for who has no worker: made where it is not there.
pub(crate) async fn make_store(session: &Session, ledger: &str, name: &str) -> Result<i64, Fault> {
    ask_for(session, STORE, ledger, name).await
}

fn lock(named: &Mutex<Named>) -> MutexGuard<'_, Named> {
    named.lock().unwrap_or_else(PoisonError::into_inner)
}
