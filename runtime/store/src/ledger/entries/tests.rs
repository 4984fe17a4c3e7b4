//! What a ledger of keys knows, against a map that knows everything.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::db::schema;
use crate::ledger::key::digest;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PIPELINE: i64 = 3;
const KEPT_MS: u64 = 1_600;

fn database() -> Connection {
    let mut db = Connection::open_in_memory().unwrap();
    schema::migrate(&mut db).unwrap();
    db
}

fn completed_at(entries: &Entries, db: &Connection, n: u64) -> Option<u64> {
    entries.completed_at(db, &[key(n)]).unwrap()[0]
}

fn load(db: &Connection) -> Entries {
    Entries::load(db, PIPELINE).unwrap()
}

fn key(n: u64) -> Key {
    digest(&n.to_le_bytes())
}

fn keys(range: std::ops::Range<u64>) -> Vec<Key> {
    range.map(key).collect()
}

/// As the writer does.
fn close(entries: &mut Entries, db: &Connection) {
    let closed = entries.close(db).unwrap();
    entries.closed(closed);
}

fn remove_expired(entries: &mut Entries, db: &Connection, now: u64) {
    while entries.has_expired(now, KEPT_MS) {
        entries.remove_oldest(db).unwrap();
        entries.removed_oldest();
    }
}

fn count(db: &Connection, table: &str) -> i64 {
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<u64>),
    /// They are added by a group that fails.
    Undo(Vec<u64>),
    Close,
    Restart,
    /// By this process, or by another.
    Forget(Vec<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = prop::collection::vec(0..200u64, 1..40);
    prop_oneof![
        4 => numbers.clone().prop_map(Step::Add),
        1 => numbers.clone().prop_map(Step::Undo),
        1 => Just(Step::Close),
        1 => Just(Step::Restart),
        1 => numbers.prop_map(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_knows_what_was_completed_and_since_when(steps in prop::collection::vec(step(), 1..30)) {
        let db = database();
        let (mut entries, mut model) = (load(&db), BTreeMap::new());
        for (now, step) in (1_000u64..).zip(steps) {
            match step {
                Step::Add(numbers) => {
                    let added: Vec<Key> = numbers.iter().map(|n| key(*n)).collect();
                    entries.add(&db, &added, now).unwrap();
                    model.extend(numbers.into_iter().map(|n| (n, now)));
                }
                Step::Undo(numbers) => {
                    let added: Vec<Key> = numbers.into_iter().map(key).collect();
                    db.execute_batch("BEGIN").unwrap();
                    entries.add(&db, &added, now).unwrap();
                    db.execute_batch("ROLLBACK").unwrap();
                    entries.reload(&db).unwrap();
                }
                Step::Close => close(&mut entries, &db),
                Step::Restart => entries = load(&db),
                Step::Forget(numbers) => {
                    let forgotten: Vec<Key> = numbers.iter().map(|n| key(*n)).collect();
                    forget(&db, PIPELINE, &forgotten).unwrap();
                    model.retain(|n, _| !numbers.contains(n));
                }
            }
            let wanted: Vec<Option<u64>> = (0..200).map(|n| model.get(&n).copied()).collect();
            prop_assert_eq!(entries.completed_at(&db, &keys(0..200)).unwrap(), &wanted[..]);
            let found: Vec<_> = keys(0..200).iter().map(|key| find(&db, PIPELINE, key).unwrap()).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}

#[test]
fn a_segment_goes_when_the_last_of_it_has_expired() {
    let db = database();
    let mut entries = load(&db);
    for (now, numbers) in [(1_000, 0..50), (1_050, 50..100), (2_000, 100..150)] {
        if entries.is_old(now, KEPT_MS) {
            close(&mut entries, &db);
        }
        entries.add(&db, &keys(numbers), now).unwrap();
    }
    assert_eq!(
        count(&db, "segments"),
        1,
        "what is completed within a sixteenth of the time is put together"
    );
    remove_expired(&mut entries, &db, 1_050 + KEPT_MS);
    assert_eq!(count(&db, "segments"), 1);
    remove_expired(&mut entries, &db, 1_051 + KEPT_MS);
    assert_eq!(["segments", "entries", "recent"].map(|table| count(&db, table)), [0, 0, 1]);
    assert_eq!([0, 99, 100].map(|n| completed_at(&entries, &db, n)), [None, None, Some(2_000)]);
    // Nothing comes any more, and the rest goes too.
    assert!(!entries.is_old(2_099, KEPT_MS) && entries.is_old(2_100, KEPT_MS));
    close(&mut entries, &db);
    assert!(!entries.is_old(u64::MAX, KEPT_MS));
    remove_expired(&mut entries, &db, 2_001 + KEPT_MS);
    assert_eq!(["segments", "entries", "recent"].map(|table| count(&db, table)), [0, 0, 0]);
}

#[test]
fn a_segment_that_finds_no_room_stays_open() {
    let db = database();
    let mut entries = load(&db);
    entries.add(&db, &keys(0..5_000), 7).unwrap();
    let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |pages: i64| db.pragma_update(None, "max_page_count", pages).unwrap();
    limit(pages);
    db.execute_batch("BEGIN").unwrap();
    assert!(entries.close(&db).is_err());
    assert!(db.is_autocommit(), "SQLite has rolled it back");
    entries.add(&db, &[key(5_000)], 8).unwrap();
    limit(pages * 10);
    close(&mut entries, &db);
    assert_eq!(["segments", "recent"].map(|table| count(&db, table)), [1, 0]);
    let known = entries.completed_at(&db, &keys(0..5_002)).unwrap();
    assert_eq!(known, [vec![Some(7); 5_000], vec![Some(8), None]].concat());
}

#[test]
fn pipelines_know_nothing_of_each_other() {
    let db = database();
    let mut all = [2, PIPELINE, 4].map(|pipeline| Entries::load(&db, pipeline).unwrap());
    for (entries, n) in all.iter_mut().zip(0..) {
        entries.add(&db, &[key(n), key(10 + n)], n).unwrap();
        close(entries, &db);
        entries.add(&db, &[key(20 + n)], n).unwrap();
    }
    close(&mut all[1], &db);
    assert_eq!(forget(&db, PIPELINE, &keys(10..13)).unwrap(), 1);
    all[1].remove_oldest(&db).unwrap();
    for (pipeline, n) in [(2, 0), (PIPELINE, 1), (4, 2)] {
        let entries = Entries::load(&db, pipeline).unwrap();
        let known: Vec<u64> = (0..30).filter(|n| completed_at(&entries, &db, *n).is_some()).collect();
        let wanted = if pipeline == PIPELINE { vec![20 + n] } else { vec![n, 10 + n, 20 + n] };
        assert_eq!(known, wanted, "pipeline {pipeline}");
    }
}

#[test]
fn damaged_hashes_hide_nothing() {
    let db = database();
    let mut entries = load(&db);
    entries.add(&db, &keys(0..1_000), 7).unwrap();
    close(&mut entries, &db);
    db.execute("UPDATE segments SET hashes = zeroblob(length(hashes))", []).unwrap();
    let entries = load(&db);
    assert_eq!(entries.completed_at(&db, &keys(0..1_000)).unwrap(), vec![Some(7); 1_000]);
    assert!(entries.has_expired(8 + KEPT_MS, KEPT_MS) && !entries.has_expired(7 + KEPT_MS, KEPT_MS));
}

/// The table of the versions before.
#[test]
fn entries_of_an_older_version_are_kept() {
    let mut db = Connection::open_in_memory().unwrap();
    for step in &schema::STEPS[..2] {
        step(&db).unwrap();
    }
    db.pragma_update(None, "user_version", 2).unwrap();
    let insert = "INSERT INTO entries(pipeline, key, completed_at) VALUES (?1, ?2, ?3)";
    for n in 0..500u64 {
        db.execute(insert, rusqlite::params![PIPELINE + (n % 2) as i64, key(n), 1_000 + n as i64]).unwrap();
    }
    schema::migrate(&mut db).unwrap();
    let entries = load(&db);
    for n in 0..500 {
        let wanted = (n % 2 == 0).then_some(1_000 + n);
        assert_eq!(completed_at(&entries, &db, n), wanted, "{n}");
    }
    assert_eq!(count(&db, "segments"), 2);
}
