//! Lanes: in order, one waiting for its own head and for nobody else's.

use super::{Outgoing, Probe};
use pelton_core::Delivery;
use pelton_core::ports::Settle;
use std::collections::BTreeMap;

/// A message of a lane; its body is `lane number`.
fn keyed(lane: &str, number: usize) -> Outgoing {
    Outgoing {
        key: Some(lane.into()),
        body: format!("{lane} {number}").into_bytes(),
        ..Outgoing::default()
    }
}

fn lane(name: &str, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    numbers.map(|n| keyed(name, n)).collect()
}

fn names(lane: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{lane} {n}")).collect()
}

/// Sees that each lane of what was done is in its order.
fn in_order(done: &[String]) {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for body in done {
        let (lane, number) = body.split_once(' ').expect("a lane and a number");
        let number: usize = number.parse().expect("a number");
        let expected = last.get(lane).map_or(0, |n| n + 1);
        assert_eq!(number, expected, "lane {lane} in {done:?}");
        last.insert(lane, number);
    }
}

pub async fn a_lane_comes_in_the_order_it_was_sent(probe: Probe) {
    let mixed = (0..40).flat_map(|n| ["a", "b", "c"].map(|lane| keyed(lane, n))).collect();
    probe.send(mixed).await;
    in_order(&probe.work_off(120, |_| Settle::Ack).await);
}

/// Settles as told when a message is seen for the first time, and acknowledges it after that.
fn at_first(which: &'static [&'static str], how: Settle) -> impl FnMut(&Delivery) -> Settle {
    let mut seen = Vec::new();
    move |delivery| {
        let body = super::probe::text(delivery);
        let first = which.contains(&&*body) && !seen.contains(&body);
        seen.push(body);
        if first { how } else { Settle::Ack }
    }
}

pub async fn a_lane_keeps_its_order_when_its_head_waits_for_a_retry(probe: Probe) {
    let mixed = (0..10).flat_map(|n| ["a", "b"].map(|lane| keyed(lane, n))).collect();
    probe.send(mixed).await;
    let how = at_first(&["a 0", "a 5", "a 6", "b 9"], Settle::RetryLater { delay_ms: 40 });
    in_order(&probe.work_off(20, how).await);
}

pub async fn a_lane_keeps_its_order_when_all_of_it_is_given_back(probe: Probe) {
    probe.send(lane("a", 0..30)).await;
    let how = at_first(&["a 0", "a 1", "a 17", "a 29"], Settle::GiveBack);
    in_order(&probe.work_off(30, how).await);
}

pub async fn a_lane_keeps_its_order_when_its_head_goes_back_last(probe: Probe) {
    probe.send(lane("a", 0..100)).await;
    let held = probe.receive(5, 1 << 20).await;
    for follower in held[1..].iter().rev() {
        probe.settle(follower, Settle::GiveBack).await;
    }
    probe.settle(&held[0], Settle::RetryLater { delay_ms: 300 }).await;
    // A receive finds the lane closed, and must leave it as it is.
    probe.send(lane("b", 0..1)).await;
    assert_eq!(probe.work_off(1, |_| Settle::Ack).await, ["b 0"]);
    in_order(&probe.work_off(100, |_| Settle::Ack).await);
}

pub async fn a_lane_keeps_its_order_over_a_crash(mut probe: Probe) {
    probe.send(lane("a", 0..20)).await;
    let mut done = probe.work_off(1, |_| Settle::Ack).await;
    probe.receive(5, 1 << 20).await;
    probe.crash().await;
    probe.send(lane("a", 20..25)).await;
    done.extend(probe.work_off(24, |_| Settle::Ack).await);
    in_order(&done);
}

pub async fn a_lane_that_waits_is_still_held_after_a_crash(mut probe: Probe) {
    probe.send(lane("a", 0..3)).await;
    let head = probe.receive(1, 1 << 20).await.remove(0);
    let crash_ms = u64::try_from(probe.can.haunted_for.as_millis()).expect("a short time");
    probe.settle(&head, Settle::RetryLater { delay_ms: 400 + 3 * crash_ms }).await;
    probe.crash().await;
    probe.send(lane("b", 0..1)).await;
    let done = probe.work_off(4, |_| Settle::Ack).await;
    in_order(&done);
    assert_eq!(done[0], "b 0", "the other lane does not wait");
}

pub async fn other_lanes_go_on_while_one_waits(probe: Probe) {
    probe.send([lane("a", 0..3), lane("b", 0..50)].concat()).await;
    // Long enough for all of `b`, short enough for a test.
    let done = probe.work_off(53, at_first(&["a 0"], Settle::RetryLater { delay_ms: 1_500 })).await;
    in_order(&done);
    assert_eq!(done[..50], names("b", 0..50), "{done:?}");
}

pub async fn a_hot_lane_does_not_starve_the_others(probe: Probe) {
    probe.send(lane("hot", 0..5_000)).await;
    probe.send(vec![keyed("cold", 0), Outgoing { body: b"free 0".to_vec(), ..Outgoing::default() }]).await;
    // A worker with room for 500 that settles nothing of the hot lane yet.
    let (mut held, mut others) = (Vec::new(), Vec::new());
    while others.len() < 2 {
        assert!(held.len() < 500, "only the hot lane came: {} messages", held.len());
        for delivery in probe.receive(500 - held.len(), 1 << 20).await {
            if delivery.message.key() == Some(b"hot") {
                held.push(delivery);
            } else {
                others.push(super::probe::text(&delivery));
            }
        }
    }
    others.sort_unstable();
    assert_eq!(others, ["cold 0", "free 0"]);
    in_order(&held.iter().map(super::probe::text).collect::<Vec<_>>());
}

pub async fn messages_without_a_key_wait_for_nobody(probe: Probe) {
    probe.send_numbers(0..3).await;
    let mut first = None;
    let how = |delivery: &Delivery| {
        let id = first.get_or_insert_with(|| delivery.message.id().to_string());
        if *id == delivery.message.id() { Settle::RetryLater { delay_ms: 60_000 } } else { Settle::Ack }
    };
    let done = probe.work_off(2, how).await;
    assert_eq!(done.len(), 2);
}
