//! Fault 27: messages of 64 KiB, a slow handler, and a bound on the bytes in flight.

use pelton_tests::components::plugin;
use pelton_tests::memory::peak;
use pelton_tests::pressure::{heavy, works_within};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;

const MESSAGES: usize = 4_000;

/// The peak, in KiB, of a worker that has had a backlog of 256 MiB and slow handlers.
fn peak_under_backlog(in_flight: &str) -> u64 {
    let chaos = Pipeline::new("chaos", plugin("chaos"))
        .with("", &format!("max_in_flight = 100000\nmax_in_flight_bytes = \"{in_flight}\""))
        .with("handler", "timeout = \"100ms\"\nconcurrency = 2")
        .with("retry", "max_attempts = 1");
    let site = Site::with("shutdown_timeout = \"1s\"", &[chaos]);
    let large = format!("{{\"do\": \"sleep\", \"pad\": \"{}\"}}", "x".repeat(64 << 10));
    site.send_lines("chaos", &[], &vec![large; MESSAGES]);
    let worker = site.worker();
    until("some have ended", || (site.status("chaos").dead_letters >= 20).then_some(()));
    let peak = peak(worker.pid).expect("the worker runs");
    worker.stop();
    let status = site.status("chaos");
    assert_eq!(status.left() + status.dead_letters, MESSAGES as u64, "{status:?}");
    peak
}

#[test]
fn a_backlog_is_held_on_disk_and_not_in_memory() {
    let (bounded, unbounded) = (peak_under_backlog("4MiB"), peak_under_backlog("1GiB"));
    assert!(bounded < 200 << 10, "{bounded} KiB with 4 MiB in flight");
    let backlog_kib = (MESSAGES * 64) as u64;
    assert!(unbounded > backlog_kib, "the backlog is large enough to tell: {unbounded} KiB");
}

#[test]
fn a_worker_that_may_have_256_mib_is_not_killed_and_loses_nothing() {
    let chaos = Pipeline::new("chaos", plugin("chaos"))
        .with("", "max_in_flight = 100000")
        .with("handler", "timeout = \"100ms\"\nconcurrency = 2")
        .with("retry", "max_attempts = 1");
    let site = Site::with("shutdown_timeout = \"1s\"", &[chaos]);
    site.send_lines("chaos", &[], &vec![heavy(); MESSAGES]);
    works_within(&site, "chaos", &[], 100);
    let status = site.status("chaos");
    assert_eq!(status.left() + status.dead_letters, MESSAGES as u64, "{status:?}");
}
