//! Fault 2: the worker is killed at random moments under load, round after round.

use crate::{bad, good, late, orders};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::components::plugin;
use pelton_tests::random::{Random, setting};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::DEADLINE;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ends the producer, also when the test fails.
pub(crate) struct StopAtTheEnd<'s>(pub &'s AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Both kinds of ledger: by key, and by place.
fn site() -> Site {
    let retry = "max_attempts = 10\ninitial_interval = \"20ms\"";
    Site::new(&[orders(), Pipeline::new("places", plugin("orders")).with("retry", retry)])
}

/// Orders of all kinds; every tenth comes twice.
fn produce(site: &Site, books: &Mutex<[Books; 2]>, stop: &AtomicBool) {
    let mut next = 1;
    while !stop.load(Ordering::Acquire) {
        let numbers: Vec<u64> = (next..next + 100).collect();
        let twice: Vec<u64> = numbers.iter().flat_map(|n| vec![*n; 1 + usize::from(n % 10 == 3)]).collect();
        let body = |n: u64| match n % 10 {
            7 => bad(n),
            5 => late(n),
            _ => good(n),
        };
        let round = next / 100;
        let key = format!("lane-{}", round % 3);
        // Sent first, noted after: the lock makes the two one for the round's balance.
        let mut books = books.lock().expect("nobody panics with the books open");
        let in_a_lane = ["--key", &*key];
        books[0].send(site, if round % 2 == 0 { &in_a_lane } else { &[] }, &twice, body);
        books[1].send(site, &[], &numbers, body);
        drop(books);
        next += 100;
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_and_do_nothing_twice() {
    let rounds = setting("PELTON_CRASH_ROUNDS", 30);
    let seed = setting("PELTON_CRASH_SEED", u64::from(std::process::id()));
    eprintln!("{rounds} rounds; again with PELTON_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let site = site();
    let books = [("orders", Keyed::ByNumber), ("places", Keyed::ByPlace)];
    let books = Mutex::new(books.map(|(name, keyed)| Books::open(&site, name, keyed)));
    site.until_empty();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&site, &books, &stop));
        let _stop = StopAtTheEnd(&stop);
        for round in 0..rounds {
            let worker = site.worker().ready();
            let moment = Duration::from_micros(random.below(400_000));
            assert!(worker.ends_within(moment).is_none(), "it ended by itself:{}", worker.log.tail());
            assert_eq!(worker.kill().signal, Some(9));
            if round % 10 == 9 {
                books.lock().expect("the producer lives").iter().for_each(|b| drop(b.balance(&site)));
            }
        }
    });
    // What was sent meanwhile grows with the rounds.
    let limit = DEADLINE * u32::try_from(1 + rounds / 50).expect("a number of rounds");
    let (worker, _) = site.until_empty_within(limit);
    for book in books.into_inner().expect("the producer is done").iter() {
        let fates = book.balance(&site);
        assert!(fates.queued.is_empty(), "{} are left:{}", fates.queued.len(), worker.log.tail());
    }
    for pipeline in ["orders", "places"] {
        let letters = site.letters(pipeline);
        assert!(letters.iter().all(|l| l["cause"] == "rejected"), "a neighbour was blamed for a kill");
    }
}
