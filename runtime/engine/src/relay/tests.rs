//! What may go, and a relay between an outbox and a broker that are made up.

#![allow(clippy::unwrap_used)]

use super::order::{Fate, Order, Ticket};
use super::*;
use pelton_core::broker::{BooksError, Diagnosis, OpenError, Outgoing, Published, Publisher, Sent, Unsent};
use pelton_core::effects::{Backlog, RowEnd, StagedMessage, Waiting};
use pelton_core::ports::{BoxFuture, ErrorClass};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

const fn keyed(row: u64, key: u64) -> Ticket {
    Ticket { row, key: Some(key) }
}

const fn free(row: u64) -> Ticket {
    Ticket { row, key: None }
}

fn order(tickets: &[Ticket]) -> Order {
    let mut order = Order::default();
    tickets.iter().for_each(|ticket| order.add(*ticket, 0, 0));
    order
}

fn all(taken: &[Ticket], fate: Fate) -> Vec<(Ticket, Fate)> {
    taken.iter().map(|ticket| (*ticket, fate)).collect()
}

#[test]
fn a_key_goes_in_its_order_and_only_what_failed_waits() {
    let mut order = order(&[keyed(1, 7), free(2), keyed(3, 7), keyed(4, 8)]);
    let taken = order.take(0, 10);
    assert_eq!(taken, [keyed(1, 7), free(2), keyed(3, 7), keyed(4, 8)]);
    assert_eq!(order.take(0, 10), [], "it is under way");
    order.add(keyed(5, 7), 0, 0);
    let fates = [
        (keyed(1, 7), Fate::Failed),
        (free(2), Fate::Failed),
        (keyed(3, 7), Fate::Untried),
        (keyed(4, 8), Fate::Ended),
    ];
    order.settle(&fates, 0, |failures| u64::from(failures) * 100);
    order.add(keyed(6, 8), 0, 0);
    order.add(free(9), 0, 0);
    assert_eq!(order.take(0, 10), [keyed(6, 8), free(9)]);
    order.settle(&all(&[keyed(6, 8), free(9)], Fate::Ended), 0, |_| 0);
    assert_eq!((order.take(99, 10).len(), order.wake()), (0, Some(100)));
    assert_eq!(order.take(100, 10), [keyed(1, 7), free(2), keyed(3, 7), keyed(5, 7)]);
    order.settle(&all(&[free(2)], Fate::Failed), 100, |failures| u64::from(failures) * 100);
    assert_eq!(order.wake(), Some(300), "it has failed twice in a row");
}

#[test]
fn what_is_due_later_holds_back_its_key_and_nobody_else() {
    let mut order = Order::default();
    order.add(keyed(1, 7), 50, 0);
    order.add(keyed(2, 7), 0, 0);
    order.add(free(3), 90, 0);
    order.add(keyed(4, 8), 0, 0);
    assert_eq!(order.take(0, 10), [keyed(4, 8)]);
    assert_eq!(order.take(50, 1), [keyed(1, 7)], "as many as there is room for");
    order.settle(&all(&[keyed(4, 8), keyed(1, 7)], Fate::Ended), 60, |_| 0);
    assert_eq!(order.take(60, 10), [keyed(2, 7)]);
    order.settle(&all(&[keyed(2, 7)], Fate::Ended), 60, |_| 0);
    assert_eq!((order.take(90, 10), order.len()), (vec![free(3)], 1));
}

#[test]
fn what_waits_longest_goes_first_though_others_always_may() {
    let mut order = order(&[keyed(1, 7)]);
    let taken = order.take(0, 1);
    order.settle(&all(&taken, Fate::Failed), 0, |_| 10);
    let mut last = 1;
    for now in 0..20 {
        for _ in 0..3 {
            last += 1;
            order.add(free(last), 0, now);
        }
        let taken = order.take(now, 2);
        if taken.contains(&keyed(1, 7)) {
            return;
        }
        order.settle(&all(&taken, Fate::Ended), now, |_| 0);
    }
    panic!("it never goes");
}

/// Rows, whom they are noted with, and a broker that answers as it is told.
#[derive(Debug, Default)]
struct World {
    rows: Mutex<BTreeMap<u64, Waiting>>,
    ended: Mutex<Vec<(u64, RowEnd)>>,
    news: Notify,
    /// What the broker took, in its order: row and id of the header.
    taken: Mutex<Vec<u64>>,
    /// Rows that it takes after so many failures, or refuses.
    fails: Mutex<BTreeMap<u64, u32>>,
    refuses: Vec<u64>,
    batches: Mutex<Vec<Vec<u64>>>,
    away: Mutex<bool>,
    panics: bool,
    noted: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl World {
    fn put(&self, row: u64, key: Option<&str>, delay_ms: Option<u64>) {
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
    async fn has_ended(&self, count: usize) {
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
        let rows = u64::try_from(lock(&self.rows).len()).unwrap();
        Backlog { rows, oldest_at_ms: None }
    }

    fn committed(&self, _: Target) -> BoxFuture<'_, ()> {
        Box::pin(self.news.notified())
    }
}

#[derive(Debug, Clone)]
struct Way(Arc<World>);

impl OutboxTarget for Way {
    fn describe(&self) -> String {
        "made up".to_owned()
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

struct Bench {
    world: Arc<World>,
    relays: Relays,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

fn bench(world: World) -> Bench {
    let world = Arc::new(world);
    let outlet = Outlet { name: "audit".into(), target: Target(1), way: Arc::new(Way(world.clone())) };
    let outbox = Outbox { home: world.clone(), outlets: vec![outlet] };
    let (answers, arrivals) = mpsc::unbounded_channel();
    let relays = Relays::start(&"orders".into(), Some(&outbox), 1, &answers);
    Bench { world, relays, arrivals }
}

#[tokio::test]
async fn what_was_committed_is_sent_in_order_per_key_and_noted() {
    let world = World { refuses: vec![3], ..World::default() };
    lock(&world.fails).insert(1, 2);
    for row in 1..=30 {
        world.put(row, Some(["a", "b", "c"][row as usize % 3]), None);
    }
    let bench = bench(world);
    bench.world.has_ended(30).await;
    let taken = lock(&bench.world.taken).clone();
    assert!(taken[0] == 2 && taken.len() == 29, "the others did not wait: {taken:?}");
    for key in 0..3 {
        let of_key: Vec<u64> = taken.iter().copied().filter(|row| row % 3 == key).collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
    let refused = [(3, RowEnd::Refused("never".to_owned()))];
    assert!(lock(&bench.world.ended).iter().filter(|(_, end)| *end != RowEnd::Sent).eq(&refused));
    let status = bench.relays.stats()[0].status();
    assert_eq!((status.sent, status.refused, status.trouble), (29, 1, None));
}

#[tokio::test]
async fn a_target_that_is_away_makes_no_letter_and_has_words() {
    let world = World::default();
    *lock(&world.away) = true;
    (1..=4).for_each(|row| world.put(row, None, None));
    let bench = bench(world);
    let stats = bench.relays.stats();
    while stats[0].trouble().is_none() {
        tokio::task::yield_now().await;
    }
    assert!(stats[0].trouble().unwrap().contains("`audit` (made up)"), "{:?}", stats[0].trouble());
    *lock(&bench.world.away) = false;
    bench.world.has_ended(4).await;
    assert!(lock(&bench.world.ended).iter().all(|(_, end)| *end == RowEnd::Sent));
    let batches = lock(&bench.world.batches).clone();
    assert!(batches.iter().all(|batch| *batch == [1, 2, 3, 4]), "the same each time: {batches:?}");
}

#[tokio::test]
async fn what_is_committed_later_is_sent_and_a_delay_is_kept() {
    let bench = bench(World::default());
    bench.world.put(1, Some("k"), Some(300));
    bench.world.put(2, None, None);
    bench.world.has_ended(1).await;
    let began = Instant::now();
    bench.world.put(3, Some("k"), None);
    bench.world.put(4, Some("l"), None);
    bench.world.has_ended(4).await;
    assert_eq!(*lock(&bench.world.taken), [2, 4, 1, 3]);
    assert!(began.elapsed() > Duration::from_millis(100));
}

#[tokio::test]
async fn at_the_end_what_can_be_sent_is_and_the_rest_stays() {
    let world = World::default();
    (1..=35).for_each(|row| world.put(row, None, None));
    world.put(36, None, Some(3_600_000));
    lock(&world.fails).insert(7, u32::MAX);
    let bench = bench(world);
    bench.relays.finish(Instant::now() + Duration::from_secs(60), Duration::ZERO).await;
    assert_eq!(lock(&bench.world.rows).keys().copied().collect::<Vec<_>>(), [7, 36]);
}

#[tokio::test]
async fn a_panic_is_told_to_the_pipeline() {
    let world = World { panics: true, ..World::default() };
    world.put(1, None, None);
    let mut bench = bench(world);
    let Some(Arrival::Panicked(panicked)) = bench.arrivals.recv().await else { panic!("it is not told") };
    assert!(panicked.to_string().contains("sending to the target audit"), "{panicked}");
}
