//! Files replaced under load, with kills between: nothing is lost, nothing takes effect twice, and the last
//! file is what runs in the end.

use crate::{component, file, order, site, taken_by};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::components::orders_version;
use pelton_tests::site::Site;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

const ROUNDS: u32 = 12;

/// Puts a version in the component's place: by rename, by copy or in place; every fourth only half of it, as
/// somebody does who dies in the middle.
fn replace(site: &Site, round: u32) {
    let bytes = orders_version(round);
    let edit = |bytes: &[u8]| {
        let mut open = std::fs::OpenOptions::new().write(true).open(component(site)).expect("it is there");
        open.seek(SeekFrom::Start(0)).and_then(|_| open.write_all(bytes)).expect("it is edited");
    };
    match round % 4 {
        0 => std::fs::rename(file(site, "new", &bytes), component(site)).expect("it is renamed"),
        1 => std::fs::write(component(site), &bytes).expect("it is written"),
        2 => edit(&bytes),
        _ => std::fs::write(component(site), &bytes[..bytes.len() / 2]).expect("it is written"),
    }
}

#[test]
fn kills_between_replacements_lose_nothing_and_the_last_file_runs() {
    let site = site("", &[("dedup", "key = \"json:/id\"")]);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    site.until_empty();
    let seed = u64::from(std::process::id());
    let mut next = 1;
    for round in 1..=ROUNDS {
        let worker = site.worker().ready();
        replace(&site, round);
        let numbers: Vec<u64> = (next..next + 100).collect();
        books.send(&site, &[], &numbers, order);
        next += 100;
        // From before the first look to after the swap.
        let moment = pelton_core::retry::scatter(seed, u64::from(round)) % 1_600;
        assert!(worker.ends_within(Duration::from_millis(moment)).is_none(), "{}", worker.log.tail());
        assert_eq!(worker.kill().signal, Some(9));
    }
    replace(&site, ROUNDS + 1);
    let (worker, _) = site.until_empty();
    let fates = books.balance(&site);
    assert!(fates.queued.is_empty() && fates.lettered.is_empty(), "{fates:?}{}", worker.log.tail());
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, next), ROUNDS + 1);
    worker.stop();
}
