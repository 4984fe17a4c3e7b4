//! Books of what was produced and what became of it, apart from the code they check.
//!
//! Produced messages are noted in a file that is synced. What became of them is read from the database
//! with SQL of this file's own: the tables are looked into, not asked through the store. Every message
//! has a number in its JSON body (`id`); bodies and letters are read for it.

use crate::site::Site;
use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::time::Duration;

/// How the pipeline knows its messages, and so where its ledger keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// By the number in the body: rows of completed keys.
    ByNumber,
    /// By the place in the queue: ranges of completed places. The number is the place.
    ByPlace,
}

/// The books of one pipeline, whose queue has its name.
pub struct Books {
    pipeline: String,
    keyed: Keyed,
    notes: File,
    produced: BTreeMap<u64, u64>,
}

/// What has become of the messages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fates {
    /// Numbers of completed messages.
    pub completed: BTreeSet<u64>,
    /// Numbers of messages with a letter, with how many they have.
    pub lettered: BTreeMap<u64, u64>,
    /// Numbers of messages in the queue, with how often they are there.
    pub queued: BTreeMap<u64, u64>,
    /// How many completions the pipeline has counted.
    pub handled: u64,
    /// How many duplicates.
    pub duplicates: u64,
}

impl Books {
    /// Empty books.
    ///
    /// # Panics
    /// When the file cannot be made.
    #[must_use]
    pub fn open(site: &Site, pipeline: &str, keyed: Keyed) -> Self {
        let notes = File::create(site.path().join(format!("{pipeline}.produced"))).expect("the books open");
        Self { pipeline: pipeline.to_owned(), keyed, notes, produced: BTreeMap::new() }
    }

    /// Sends a body for each number and notes them: in the file, synced, once they are sent.
    ///
    /// # Panics
    /// When that fails.
    pub fn send(&mut self, site: &Site, more: &[&str], numbers: &[u64], body: impl Fn(u64) -> String) {
        let lines: Vec<String> = numbers.iter().map(|n| body(*n)).collect();
        site.send_lines(&self.pipeline, more, &lines);
        self.note(numbers);
    }

    /// Notes numbers that were sent.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn note(&mut self, numbers: &[u64]) {
        let text: String = numbers.iter().map(|n| format!("{n}\n")).collect();
        self.notes.write_all(text.as_bytes()).and_then(|()| self.notes.sync_all()).expect("noted");
        for number in numbers {
            *self.produced.entry(*number).or_default() += 1;
        }
    }

    /// Looks into the database.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn fates(&self, site: &Site) -> Fates {
        self.try_fates(site).expect("the database is read")
    }

    fn try_fates(&self, site: &Site) -> rusqlite::Result<Fates> {
        let mut db = Connection::open(site.data().join("pelton.db"))?;
        db.busy_timeout(Duration::from_secs(30))?;
        // One view of all tables, also while a worker writes.
        let db = db.transaction()?;
        let counter = "(SELECT coalesce(sum(number), 0) FROM counters WHERE pipeline = id AND name = ";
        let sql = format!(
            "SELECT id, {counter}'handled'), {counter}'duplicates') FROM pipelines WHERE name = ?1"
        );
        let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, i64>(0)?, count(r, 1)?, count(r, 2)?));
        let (pipeline, handled, duplicates) = db.query_row(&sql, [&self.pipeline], row)?;
        let sql = "SELECT id FROM queues WHERE name = ?1";
        let queue: i64 = db.query_row(sql, [&self.pipeline], |r| r.get(0))?;
        let bodies = |sql: &str, of: i64| -> rusqlite::Result<BTreeMap<u64, u64>> {
            let mut counted = BTreeMap::new();
            let mut statement = db.prepare(sql)?;
            for body in statement.query_map([of], |r| r.get::<_, Vec<u8>>(0))? {
                *counted.entry(number_of(&body?)).or_default() += 1;
            }
            Ok(counted)
        };
        let completed = match self.keyed {
            Keyed::ByNumber => self.completed_keys(&db, pipeline)?,
            Keyed::ByPlace => completed_places(&db, pipeline, queue)?,
        };
        Ok(Fates {
            completed,
            lettered: bodies("SELECT body FROM letters WHERE pipeline = ?1", pipeline)?,
            queued: bodies("SELECT body FROM messages WHERE id >> 40 = ?1", queue)?,
            handled,
            duplicates,
        })
    }

    fn completed_keys(&self, db: &Connection, pipeline: i64) -> rusqlite::Result<BTreeSet<u64>> {
        // A number of JSON is known by these bytes and its digits.
        let digest =
            |n: &u64| (Sha256::digest([b"\xffn", n.to_string().as_bytes()].concat())[..16].to_vec(), *n);
        let by_digest: BTreeMap<Vec<u8>, u64> = self.produced.keys().map(digest).collect();
        let mut keys = BTreeSet::new();
        for (sql, entry) in [
            ("SELECT keys FROM recent WHERE id >> 40 = ?1", 16),
            ("SELECT entries FROM entries WHERE pipeline = ?1", 22),
        ] {
            let mut statement = db.prepare(sql)?;
            for row in statement.query_map([pipeline], |r| r.get::<_, Vec<u8>>(0))? {
                let number = |entry: &[u8]| *by_digest.get(&entry[..16]).expect("somebody produced it");
                keys.extend(row?.chunks(entry).map(number));
            }
        }
        Ok(keys)
    }

    /// Sees that every message produced is in exactly one place, that each key took effect once, and
    /// that the worker's own counts say the same.
    ///
    /// # Panics
    /// When something is lost, done twice, or counted wrong.
    pub fn balance(&self, site: &Site) -> Fates {
        let fates = self.fates(site);
        for (number, times) in &self.produced {
            let done = u64::from(fates.completed.contains(number));
            let letters = fates.lettered.get(number).copied().unwrap_or(0);
            let queued = fates.queued.get(number).copied().unwrap_or(0);
            let placed = match (done, self.keyed) {
                // What was completed takes its duplicates with it.
                (1, Keyed::ByNumber) => letters == 0 && queued < *times,
                _ => done + letters + queued == *times,
            };
            assert!(
                placed,
                "message {number} of {}, sent {times} times: completed {done}, letters {letters}, queued \
                 {queued}",
                self.pipeline
            );
        }
        let sum = |counts: &BTreeMap<u64, u64>| counts.values().sum::<u64>();
        let (produced, letters, queued) = (sum(&self.produced), sum(&fates.lettered), sum(&fates.queued));
        assert_eq!(
            fates.handled,
            fates.completed.len() as u64,
            "an effect for each completed key, and one only"
        );
        assert_eq!(
            produced,
            fates.handled + fates.duplicates + letters + queued,
            "produced = handled + duplicates + letters + queued: {fates:?}"
        );
        let status = site.status(&self.pipeline);
        assert_eq!(
            (status.handled, status.duplicates, status.dead_letters, status.left()),
            (fates.handled, fates.duplicates, letters, queued),
            "what `status` says"
        );
        fates
    }
}

/// The number in a body.
fn number_of(body: &[u8]) -> u64 {
    let body: Value = serde_json::from_slice(body).expect("every body of these tests is JSON");
    body["id"].as_u64().expect("every body of these tests has a number")
}

fn completed_places(db: &Connection, pipeline: i64, queue: i64) -> rusqlite::Result<BTreeSet<u64>> {
    let mut statement =
        db.prepare("SELECT first, last FROM ranges WHERE pipeline = ?1 AND partition = ?2")?;
    let ranges = statement.query_map([pipeline, queue], |r| Ok((count(r, 0)?, count(r, 1)?)))?;
    let mut places = BTreeSet::new();
    for range in ranges {
        let (first, last) = range?;
        for place in first..=last {
            assert!(places.insert(place), "place {place} was completed twice");
        }
    }
    Ok(places)
}

/// A column that is never negative.
fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}
