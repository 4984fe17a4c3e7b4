//! A hundred swaps under load; and what hundreds leave in memory.

use crate::{order, site, taken, version};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::memory::{code, huge, resident};
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SWAPS: u32 = 100;
/// Distinct versions; each comes again and again.
const VERSIONS: u32 = 10;
/// Swaps in each of the three parts of a long run; after the first, memory has grown to its size.
const PART: u32 = 150;
/// What may be noise between two parts, of a process whose pages come and go. A version that stayed
/// would show before: in its code, exactly.
const NOISE_KIB: u64 = 20 << 10;

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

#[test]
fn a_hundred_swaps_under_load_lose_nothing_and_do_nothing_twice() {
    let site = site("", &[("handler", "reload = \"manual\""), ("dedup", "key = \"json:/id\"")]);
    let files: Vec<String> = (0..VERSIONS).map(|number| version(&site, number)).collect();
    let worker = site.worker().ready();
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let (produced, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let alone = code(worker.pid);
    assert!(alone > Some(0), "the first version has code");
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&site, &mut books, &produced, &stop));
        let _stop = StopAtTheEnd(&stop);
        for swap in 1..=SWAPS {
            let file = &files[(swap % VERSIONS) as usize];
            site.done(&["deploy", "orders", file, "--now"]);
        }
    });
    until("all is handled", || (site.status("orders").left() == 0).then_some(()));
    until("only the last version is in memory", || (code(worker.pid) == alone).then_some(()));
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
}

#[test]
fn hundreds_of_swaps_leave_nothing_in_memory() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    let files: Vec<String> = (0..VERSIONS).map(|number| version(&site, number)).collect();
    let worker = site.worker().ready();
    let parts = [(); 3].map(|()| {
        let swaps = (1..=PART).map(|swap| {
            site.done(&["deploy", "orders", &files[(swap % VERSIONS) as usize], "--now"]);
            resident(worker.pid).expect("the worker runs")
        });
        swaps.min().expect("there were swaps")
    });
    // What it has before its first line runs may be in a few.
    let huge = huge(worker.pid).expect("the worker runs");
    worker.stop();
    assert!(huge <= 8 << 10, "{huge} KiB in huge pages");
    let [_, second, third] = parts;
    assert!(third < second + NOISE_KIB, "the least memory in each part, in KiB: {parts:?}");
}
