//! Receiving: once each, within bounds, and soon.

use super::Probe;
use super::probe::ids;
use crate::wait::POLL_INTERVAL;
use pelton_core::ports::Settle;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

pub async fn the_source_says_what_its_description_says(probe: Probe) {
    assert_eq!(probe.ports.source.capabilities(), probe.can.source);
}

pub async fn every_message_is_delivered_once_and_settled_away(probe: Probe) {
    let sent: BTreeSet<String> = probe.send_numbers(0..500).await.into_iter().collect();
    assert_eq!(sent.len(), 500, "ids are told apart");
    let mut seen = Vec::new();
    while seen.len() < 500 {
        let batch = probe.receive(64, 1 << 20).await;
        probe.settle_all(&batch, Settle::Ack).await;
        seen.extend(batch);
    }
    assert_eq!(seen.len(), 500, "nothing was delivered twice");
    assert_eq!(probe.names(&seen), sent);
    probe.nothing_is_left().await;
}

pub async fn a_waiting_receive_wakes_for_what_another_process_sends(probe: Probe) {
    let mut waits: Vec<Duration> = Vec::new();
    for round in 0..9 {
        let source = probe.ports.source.clone();
        let waiting = tokio::spawn(async move {
            let batch = source.receive(10, 1 << 20).await.expect("the source is open");
            (batch, Instant::now())
        });
        tokio::task::yield_now().await;
        probe.send_numbers(std::iter::once(round)).await;
        let sent = Instant::now();
        let (batch, woken) = waiting.await.expect("receive does not panic");
        probe.heard(&batch);
        waits.push(woken.saturating_duration_since(sent));
        probe.settle_all(&batch, Settle::Ack).await;
    }
    // The middle one: a busy test machine may hold up any single round.
    waits.sort_unstable();
    assert!(waits[4] <= probe.can.wakes_within, "{waits:?}");
}

pub async fn a_batch_has_at_most_max_messages(probe: Probe) {
    probe.send_numbers(0..50).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 50 {
        let batch = probe.receive(7, 1 << 20).await;
        assert!(batch.len() <= 7, "{} messages", batch.len());
        seen.extend(ids(&batch));
        probe.settle_all(&batch, Settle::Ack).await;
    }
}

pub async fn a_batch_has_at_most_max_bytes_and_at_least_one_message(probe: Probe) {
    let large = |_| super::Outgoing { body: vec![b'x'; 1_000], ..Default::default() };
    probe.send((0..20).map(large).collect()).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 18 {
        let batch = probe.receive(100, 3_500).await;
        let weight: usize = batch.iter().map(|d| d.message.weight()).sum();
        assert!(weight <= 3_500, "{weight} bytes");
        seen.extend(ids(&batch));
        probe.settle_all(&batch, Settle::Ack).await;
    }
    while seen.len() < 20 {
        let batch = probe.receive(100, 10).await;
        assert_eq!(batch.len(), 1, "the first one fits always, and it alone");
        seen.extend(ids(&batch));
        probe.settle_all(&batch, Settle::Ack).await;
    }
}

pub async fn what_is_held_is_not_delivered_again(probe: Probe) {
    probe.send_numbers(0..10).await;
    let held = probe.take(10).await;
    probe.nothing_is_left().await;
    probe.settle_all(&held, Settle::Ack).await;
}

pub async fn the_lag_counts_what_is_not_settled(probe: Probe) {
    let lag = async || probe.ports.source.lag().await.expect("the lag is known").unsettled;
    assert_eq!(lag().await, 0);
    probe.send_numbers(0..10).await;
    assert_eq!(lag().await, 10);
    let held = probe.take(4).await;
    assert_eq!(lag().await, 10, "what is in flight counts");
    probe.settle_all(&held[..2], Settle::Ack).await;
    assert_eq!(lag().await, 8);
    if probe.can.source.native_delay {
        probe.settle_all(&held[2..], Settle::RetryLater { delay_ms: 60_000 }).await;
    } else {
        probe.settle_all(&held[2..], Settle::GiveBack).await;
    }
    assert_eq!(lag().await, 8, "what waits counts");
}

/// A worker ends with its queue when nothing is left, and what it was handed may still be on its way
/// through it.
pub async fn what_is_held_is_left(probe: Probe) {
    let left = async || probe.ports.source.lag().await.map_or(u64::MAX, |lag| lag.unsettled);
    probe.send_numbers(0..10).await;
    let held = probe.take(10).await;
    // More, while it is not known where the end is.
    loop {
        let left = left().await;
        assert!(left >= 10, "only {left} are left, and 10 are held");
        if left == 10 {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    probe.settle_all(&held, Settle::Ack).await;
    while left().await > 0 {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Metrics show it: too much for a moment, where the broker's counts lag behind, and never for long.
pub async fn the_depth_is_what_is_left_and_since_when_it_waits(probe: Probe) {
    let depth = async || loop {
        match probe.ports.source.depth().await {
            Ok(depth) => return depth,
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    };
    let comes_to = async |wanted: u64| {
        while depth().await.unsettled != wanted {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    comes_to(0).await;
    assert_eq!(depth().await.oldest_at_ms, None, "nothing waits");
    let since = now_ms();
    probe.send_numbers(0..10).await;
    let until = now_ms();
    comes_to(10).await;
    if let Some(oldest) = depth().await.oldest_at_ms {
        // Some services count in whole seconds.
        assert!((since - 1_000..=until + 1_000).contains(&oldest), "{since} <= {oldest} <= {until}");
    }
    let held = probe.take(4).await;
    comes_to(10).await;
    probe.settle_all(&held, Settle::Ack).await;
    comes_to(6).await;
    let rest = probe.take(6).await;
    probe.settle_all(&rest, Settle::Ack).await;
    comes_to(0).await;
    assert_eq!(depth().await.oldest_at_ms, None, "nothing waits any more");
}

fn now_ms() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "brokers stamp messages with it")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    u64::try_from(now.as_millis()).expect("it is not so late")
}
