//! An outbox and a broker that are made up.

#![allow(clippy::unwrap_used)]

use pelton_core::broker::{
    BooksError, Diagnosis, OpenError, OutboxTarget, Outgoing, Published, Publisher, Sent, Unsent,
};
use pelton_core::effects::{Backlog, OutboxHome, RowEnd, StagedMessage, Target, Waiting};
use pelton_core::ports::{BoxFuture, ErrorClass};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Rows, whom they are noted with, and a broker that answers as it is told.
#[derive(Debug, Default)]
pub struct World {
    pub rows: Mutex<BTreeMap<u64, Waiting>>,
    pub ended: Mutex<Vec<(u64, RowEnd)>>,
    pub news: Notify,
    /// What the broker took, in its order: row and id of the header.
    pub taken: Mutex<Vec<u64>>,
    /// Rows that it takes after so many failures, or refuses.
    pub fails: Mutex<BTreeMap<u64, u32>>,
    pub refuses: Vec<u64>,
    pub batches: Mutex<Vec<Vec<u64>>>,
    pub away: Mutex<bool>,
    pub panics: bool,
    /// None while another process sends.
    pub turns: Mutex<Vec<Option<u64>>>,
    /// Nobody asks any more.
    pub left: Notify,
    pub noted: Notify,
    /// How often somebody looked how much waits.
    pub looks: AtomicU64,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl World {
    pub fn put(&self, row: u64, key: Option<&str>, delay_ms: Option<u64>) {
        let message = StagedMessage {
            target: Target(1),
            id: format!("id-{row}").into(),
            topic: None,
            key: key.map(Into::into),
            headers: Vec::new(),
            body: row.to_string().into_bytes(),
            delay_ms,
        };
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let committed_at_ms = u64::try_from(now.as_millis()).unwrap();
        let due_at_ms = delay_ms.map(|delay| committed_at_ms + delay);
        lock(&self.rows).insert(row, Waiting { row, message, committed_at_ms, due_at_ms });
        self.news.notify_one();
    }

    /// Until so many are noted as ended.
    pub async fn has_ended(&self, count: usize) {
        loop {
            let noted = self.noted.notified();
            if lock(&self.ended).len() >= count {
                return;
            }
            noted.await;
        }
    }
}

impl OutboxHome for World {
    fn waiting(
        &self,
        _: Target,
        after: u64,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiting>, ErrorClass>> {
        let rows = lock(&self.rows);
        let page = rows.range(after + 1..).map(|(_, waiting)| waiting.clone()).take(max).collect();
        Box::pin(std::future::ready(Ok(page)))
    }

    fn ended(&self, rows: Vec<(u64, RowEnd)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let results = rows.iter().map(|(row, _)| {
            lock(&self.rows).remove(row);
            Ok(())
        });
        let results = results.collect();
        lock(&self.ended).extend(rows);
        self.noted.notify_waiters();
        Box::pin(std::future::ready(results))
    }

    fn backlog(&self, _: Target) -> Backlog {
        self.looks.fetch_add(1, SeqCst);
        let rows = u64::try_from(lock(&self.rows).len()).unwrap();
        Backlog { rows, oldest_at_ms: None }
    }

    fn turn(&self, _: Target) -> Option<u64> {
        lock(&self.turns).last().copied().unwrap_or(Some(0))
    }

    fn leaves(&self, _: Target) {
        self.left.notify_one();
    }

    fn committed(&self, _: Target) -> BoxFuture<'_, ()> {
        Box::pin(self.news.notified())
    }
}

#[derive(Debug, Clone)]
pub struct Way(pub Arc<World>);

impl OutboxTarget for Way {
    fn describe(&self) -> String {
        "made up".to_owned()
    }

    fn system(&self) -> &'static str {
        "made-up"
    }

    fn is_same(&self, _: &dyn OutboxTarget) -> bool {
        true
    }

    fn cannot_carry(&self, _: &StagedMessage) -> Option<String> {
        None
    }

    fn longest_delay_ms(&self) -> u64 {
        0
    }

    fn most(&self) -> usize {
        10
    }

    fn probe(&self) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self) -> Diagnosis {
        Diagnosis::default()
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

impl Publisher for Way {
    fn check(&mut self) -> Result<(), Unsent> {
        Ok(())
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        assert!(!self.0.panics, "out of order");
        let row = |message: &Outgoing<'_>| std::str::from_utf8(message.bytes()).unwrap().parse().unwrap();
        lock(&self.0.batches).push(batch.iter().map(row).collect());
        let mut waits: Vec<Vec<u8>> = Vec::new();
        let one = |message: &Outgoing<'_>| {
            let row: u64 = row(message);
            assert_eq!(message.outbox_id(), Some(&*format!("id-{row}")));
            let mut fails = lock(&self.0.fails);
            let failures = fails.get_mut(&row).filter(|left| **left > 0);
            let is_behind = message.key.as_ref().is_some_and(|key| waits.contains(&key.to_vec()));
            if *lock(&self.0.away) || is_behind || failures.is_some() {
                failures.into_iter().for_each(|left| *left -= 1);
                waits.extend(message.key.as_ref().map(|key| key.to_vec()));
                return Err(Unsent::for_now("not now"));
            }
            if self.0.refuses.contains(&row) {
                return Err(Unsent::for_good("never"));
            }
            lock(&self.0.taken).push(row);
            Ok(Sent::as_it_is("there"))
        };
        Ok(batch.iter().map(one).collect())
    }
}
