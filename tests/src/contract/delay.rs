//! Waits: kept, not much longer than asked for, and over a restart.

use super::{Outgoing, Probe};
use pelton_core::ports::Settle;
use std::time::{Duration, Instant};

/// The source may count in whole milliseconds of a clock that is not the test's.
const ROUNDING: Duration = Duration::from_millis(2);

/// Sees that a wait of `delay_ms` that was asked for after `asked` has ended now.
fn has_waited(probe: &Probe, asked: Instant, delay_ms: u64) {
    let (waited, delay) = (asked.elapsed(), Duration::from_millis(delay_ms));
    assert!(waited + ROUNDING >= delay, "it came after {waited:?}, and was to wait for {delay:?}");
    let latest = delay + probe.can.delay_slack;
    assert!(waited <= latest, "it came after {waited:?}, and was to wait for {delay:?}");
}

pub async fn a_retry_comes_back_after_its_wait_and_soon_then(probe: Probe) {
    probe.send_numbers(0..1).await;
    for delay_ms in [1, 50, 300] {
        let delivery = probe.take_one().await;
        let asked = Instant::now();
        probe.settle(&delivery, Settle::RetryLater { delay_ms }).await;
        let again = probe.take_one().await;
        has_waited(&probe, asked, delay_ms);
        assert_eq!(again.message.id(), delivery.message.id());
        probe.settle(&again, Settle::GiveBack).await;
    }
}

pub async fn a_wait_outlives_a_restart(mut probe: Probe) {
    probe.send_numbers(0..1).await;
    let delivery = probe.take_one().await;
    let asked = Instant::now();
    probe.settle(&delivery, Settle::RetryLater { delay_ms: 700 }).await;
    probe.restart().await;
    probe.crash().await;
    probe.take_one().await;
    has_waited(&probe, asked, 700);
}

pub async fn a_short_wait_passes_a_long_one(probe: Probe) {
    probe.send_numbers(0..2).await;
    let held = probe.take(2).await;
    probe.settle(&held[0], Settle::RetryLater { delay_ms: 60_000 }).await;
    let asked = Instant::now();
    probe.settle(&held[1], Settle::RetryLater { delay_ms: 100 }).await;
    let first = probe.take_one().await;
    assert_eq!(first.message.id(), held[1].message.id());
    has_waited(&probe, asked, 100);
}

fn delayed(delay_ms: u64) -> Vec<Outgoing> {
    vec![Outgoing { body: b"later".to_vec(), delay_ms, ..Outgoing::default() }]
}

pub async fn a_delayed_send_is_kept_back_and_is_soon_delivered_then(probe: Probe) {
    let asked = Instant::now();
    let later = probe.send(delayed(500)).await;
    let now = probe.send_numbers(0..1).await;
    let first = probe.take_one().await;
    assert_eq!(first.message.id(), now[0], "what is sent for now comes first");
    let second = probe.take_one().await;
    assert_eq!(second.message.id(), later[0]);
    has_waited(&probe, asked, 500);
}

pub async fn a_delayed_send_outlives_a_restart(mut probe: Probe) {
    let asked = Instant::now();
    probe.send(delayed(700)).await;
    probe.restart().await;
    probe.take_one().await;
    has_waited(&probe, asked, 700);
}
