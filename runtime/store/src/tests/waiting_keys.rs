//! More keys wait for a retry than memory has room for.

use super::support::*;
use pelton_core::ports::{Settle, Source};
use pelton_core::{Delivery, Receipt};
use std::collections::BTreeMap;

const KEYS: usize = 400;
/// Of twenty lanes.
const ROOM: usize = 20 * 256;
/// Messages that are out at once.
const OUT: usize = 50;

fn of(delivery: &Delivery) -> (usize, usize) {
    let body = String::from_utf8_lossy(delivery.message.body()).into_owned();
    let (key, number) = body.split_once('/').unwrap();
    (key.parse().unwrap(), number.parse().unwrap())
}

/// Sends `rounds` messages of each key.
fn send_all(worker: &Worker, rounds: std::ops::Range<usize>) {
    for number in rounds {
        let one = |key: usize| keyed(&format!("key-{key}"), &[&format!("{key}/{number}")]).remove(0);
        worker.send(&(0..KEYS).map(one).collect::<Vec<_>>());
    }
}

/// What a handler does that fails messages a few times first: the wait before each next attempt. Within a
/// lane what follows a failure goes back, as the core has it.
struct Flaky {
    failures: BTreeMap<(usize, usize), u64>,
    done: BTreeMap<usize, Vec<usize>>,
}

impl Flaky {
    fn how(&mut self, batch: &[Delivery]) -> Vec<(Receipt, Settle)> {
        let mut failed = Vec::new();
        let mut all = Vec::new();
        for delivery in batch {
            let (key, number) = of(delivery);
            let left = self.failures.entry((key, number)).or_insert((key + number) as u64 % 3);
            let how = if failed.contains(&key) {
                Settle::GiveBack
            } else if *left > 0 {
                *left -= 1;
                failed.push(key);
                Settle::RetryLater { delay_ms: 1 + (key * 7 + number * 13) as u64 % 40 }
            } else {
                self.done.entry(key).or_default().push(number);
                Settle::Ack
            };
            all.push((delivery.receipt, how));
        }
        all
    }
}

async fn work(worker: &Worker, flaky: &mut Flaky, until: usize) {
    while flaky.done.values().map(Vec::len).sum::<usize>() < until {
        let batch = worker.receive(OUT).await;
        let settled = worker.source.settle(flaky.how(&batch)).await;
        assert!(settled.iter().all(Result::is_ok));
        let lanes = worker.source.queue.lanes();
        assert!(lanes <= ROOM / 256 + OUT, "{lanes} lanes are in memory");
    }
}

/// A worker that begins with little room, among whatever waits.
fn begin(dir: &std::path::Path) -> Worker {
    let worker = Worker::open(dir);
    worker.source.queue.set_room(ROOM);
    worker.source.queue.load(&worker.source.reader.lock().unwrap()).unwrap();
    worker
}

#[tokio::test]
async fn keys_without_room_in_memory_wait_on_disk_in_order() {
    let dir = dir();
    let mut flaky = Flaky { failures: BTreeMap::new(), done: BTreeMap::new() };
    let worker = begin(dir.path());
    send_all(&worker, 0..2);
    work(&worker, &mut flaky, KEYS / 2).await;
    send_all(&worker, 2..4);
    work(&worker, &mut flaky, KEYS * 2).await;
    drop(worker);
    let worker = begin(dir.path());
    send_all(&worker, 4..5);
    work(&worker, &mut flaky, KEYS * 5).await;
    for (key, numbers) in &flaky.done {
        assert_eq!(numbers, &[0, 1, 2, 3, 4], "key {key}");
    }
    assert_eq!((flaky.done.len(), worker.status().queued + worker.status().delayed), (KEYS, 0));
}

/// In memory and on disk, and whether what is behind it is out when it happens, is given back, or was done
/// with: all of it comes, though nothing is due for an hour.
#[tokio::test]
async fn what_waits_for_a_message_that_another_process_removes_goes_on() {
    let dir = dir();
    let worker = begin(dir.path());
    send_all(&worker, 0..4);
    let heads = worker.take(KEYS).await;
    let behind = worker.take(KEYS).await;
    for head in &heads {
        worker.settle(head, Settle::RetryLater { delay_ms: 3_600_000 }).await;
    }
    // A third goes back before the heads are removed, a third after that, and the rest is done with.
    let (before, rest) = behind.split_at(KEYS / 3);
    let (after, done) = rest.split_at(KEYS / 3);
    for one in before {
        worker.settle(one, Settle::GiveBack).await;
    }
    let ids: Vec<u64> = heads.iter().map(|head| head.position.unwrap().offset).collect();
    let beside = crate::Store::open_beside(dir.path(), crate::Options::default()).unwrap();
    assert_eq!(beside.purge("none", Some(NAME), &ids).unwrap(), KEYS);
    for one in after {
        worker.settle(one, Settle::GiveBack).await;
    }
    for one in done {
        worker.settle(one, Settle::Ack).await;
    }
    let mut numbers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for _ in 0..KEYS * 3 - done.len() {
        let one = worker.take(1).await.remove(0);
        let (key, number) = of(&one);
        numbers.entry(key).or_default().push(number);
        worker.settle(&one, Settle::Ack).await;
    }
    assert_eq!(worker.status().queued + worker.status().delayed, 0);
    let done: Vec<usize> = done.iter().map(|one| of(one).0).collect();
    for (key, numbers) in numbers {
        let from = if done.contains(&key) { 2 } else { 1 };
        assert_eq!(numbers, (from..4).collect::<Vec<_>>(), "key {key}");
    }
}

/// In memory and on disk: what is behind it comes at once, though nothing is due for an hour.
#[tokio::test]
async fn what_waits_for_a_message_that_is_given_up_on_goes_on() {
    let dir = dir();
    let worker = begin(dir.path());
    send_all(&worker, 0..2);
    let heads = worker.take(KEYS).await;
    let behind = worker.take(KEYS).await;
    for head in &heads {
        worker.settle(head, Settle::RetryLater { delay_ms: 3_600_000 }).await;
    }
    for one in &behind {
        worker.settle(one, Settle::GiveBack).await;
    }
    for head in heads.iter().step_by(8) {
        worker.skip(head).await;
        let next = worker.take(1).await.remove(0);
        assert_eq!(of(&next), (of(head).0, 1));
        worker.settle(&next, Settle::Ack).await;
    }
}
