//! A hundred swaps under load.

use crate::{order, site, taken, version};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SWAPS: u32 = 100;
/// Distinct versions; each comes again and again.
const VERSIONS: u32 = 10;
/// Swaps after which memory has grown to its size.
const WARM: u32 = 40;
/// What may be noise, of a process whose pages come and go.
const NOISE_KIB: u64 = 24 << 10;

/// Ends the producer, also when the test fails.
struct StopAtTheEnd<'s>(&'s AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Keeps some hundred messages queued, each fifth round in a lane.
fn produce(site: &Site, books: &mut Books, produced: &AtomicU64, stop: &AtomicBool) {
    let mut next = 1;
    while !stop.load(Ordering::Acquire) {
        let numbers: Vec<u64> = (next..next + 100).collect();
        let lane: &[&str] = if next / 100 % 5 == 0 { &["--key", "lane"] } else { &[] };
        books.send(site, lane, &numbers, order);
        next += 100;
        produced.store(next - 1, Ordering::Release);
        // As fast as they are handled, and no faster.
        until("the backlog is worked off", || {
            (stop.load(Ordering::Acquire) || site.status("orders").left() < 300).then_some(())
        });
    }
}

/// Memory that a process has, in KiB.
pub fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn a_hundred_swaps_under_load_lose_nothing_and_do_nothing_twice() {
    let site = site("", &[("handler", "reload = \"manual\""), ("dedup", "key = \"json:/id\"")]);
    let files: Vec<String> = (0..VERSIONS).map(|number| version(&site, number)).collect();
    let worker = site.worker().ready();
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let (produced, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut sizes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&site, &mut books, &produced, &stop));
        let _stop = StopAtTheEnd(&stop);
        for swap in 1..=SWAPS {
            let file = &files[(swap % VERSIONS) as usize];
            site.done(&["deploy", "orders", file, "--now"]);
            sizes.push(memory(worker.pid));
        }
    });
    until("all is handled", || (site.status("orders").left() == 0).then_some(()));
    worker.stop();
    let fates = books.balance(&site);
    let produced = produced.load(Ordering::Acquire);
    assert_eq!(fates.completed.len() as u64, produced);
    assert!(fates.lettered.is_empty() && site.status("orders").retries == 0, "{fates:?}");
    let mut effects: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (number, version) in worker.log.lines().iter().filter_map(taken) {
        effects.entry(number).or_default().push(version);
    }
    assert_eq!(effects.len() as u64, produced, "each message took effect");
    let twice: Vec<_> = effects.iter().filter(|(_, versions)| versions.len() > 1).collect();
    assert!(twice.is_empty(), "none was redone: {twice:?}");
    let mut by_version = vec![0; VERSIONS as usize];
    effects.values().flatten().for_each(|version| by_version[*version as usize] += 1);
    assert!(by_version.iter().all(|count| *count > 0), "each version had messages: {by_version:?}");
    let (warm, last) = (sizes[WARM as usize], *sizes.last().expect("there were swaps"));
    assert!(last < warm + NOISE_KIB, "memory stays: {sizes:?}");
}
