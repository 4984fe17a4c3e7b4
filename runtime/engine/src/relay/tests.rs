//! What may go, and a relay between an outbox and a broker that are made up.

#![allow(clippy::unwrap_used)]

use super::made_up::{Way, World, lock};
use super::order::{Fate, Order, Ticket};
use super::*;
use pelton_core::effects::RowEnd;

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
async fn what_an_operator_removes_holds_nobody_back() {
    let world = World::default();
    world.put(1, Some("k"), Some(200));
    world.put(2, Some("k"), None);
    world.put(3, None, None);
    let bench = bench(world);
    bench.world.has_ended(1).await;
    lock(&bench.world.rows).remove(&1);
    bench.world.has_ended(2).await;
    assert_eq!(*lock(&bench.world.taken), [3, 2]);
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

#[tokio::test]
async fn what_another_process_has_sent_in_its_turn_is_not_sent_again() {
    let world = World::default();
    *lock(&world.away) = true;
    (1..=4).for_each(|row| world.put(row, Some("k"), None));
    let bench = bench(world);
    let stats = bench.relays.stats();
    while stats[0].trouble().is_none() {
        tokio::task::yield_now().await;
    }
    // All four are known here now, and another sends two of them.
    lock(&bench.world.turns).push(None);
    lock(&bench.world.rows).retain(|row, _| *row > 2);
    *lock(&bench.world.away) = false;
    lock(&bench.world.turns).push(Some(1));
    bench.world.news.notify_one();
    bench.world.has_ended(2).await;
    assert_eq!(*lock(&bench.world.taken), [3, 4]);
    bench.relays.finish(Instant::now() + Duration::from_secs(60), Duration::ZERO).await;
    bench.world.left.notified().await;
}
