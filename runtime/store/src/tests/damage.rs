//! Files that are damaged, foreign, newer or cut short: refused, or the last good commit.

use super::support::*;
use crate::{Options, Store, StoreError};
use pelton_core::broker::Outgoing;
use std::fs;
use std::path::Path;

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open_owner(dir, Options::default())
}

fn refusal(dir: &Path) -> String {
    match open(dir) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

fn filled() -> tempfile::TempDir {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..2_000));
    worker.store.close();
    dir
}

#[test]
fn a_corrupt_page_is_refused_and_left_as_it_is() {
    let dir = filled();
    let file = crate::db::file(dir.path());
    let mut bytes = fs::read(&file).unwrap();
    let tree = bytes.len() / 2 / 4_096 * 4_096;
    bytes[tree..tree + 64].fill(0xff);
    fs::write(&file, &bytes).unwrap();
    let why = refusal(dir.path());
    assert!(why.contains("pelton.db is damaged") && why.contains("Restore it"), "{why}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let dir = dir();
    fs::write(crate::db::file(dir.path()), "these are my notes, not a database\n".repeat(200)).unwrap();
    let why = refusal(dir.path());
    assert!(why.contains("damaged or no Pelton database"), "{why}");
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let dir = dir();
    let file = crate::db::file(dir.path());
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE notes(t TEXT)").unwrap();
    let before = fs::read(&file).unwrap();
    let why = refusal(dir.path());
    assert!(why.contains("another program"), "{why}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = filled();
    let db = rusqlite::Connection::open(crate::db::file(dir.path())).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let why = refusal(dir.path());
    assert!(why.contains("schema version 99") && why.contains("newer"), "{why}");
}

/// A command of a newer Pelton, beside a worker that was not restarted yet.
#[test]
fn a_worker_of_an_older_version_keeps_its_tables() {
    let dir = filled();
    let owner = crate::db::Owner::take(dir.path()).unwrap();
    let db = rusqlite::Connection::open(crate::db::file(dir.path())).unwrap();
    let version = || db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    let known = version();
    db.pragma_update(None, "user_version", known - 1).unwrap();
    let beside = || Store::open_beside(dir.path(), Options::default());
    let why = beside().err().unwrap().to_string();
    assert!(why.contains(&format!("process {} runs with it. Restart", std::process::id())), "{why}");
    assert_eq!(version(), known - 1, "nothing was changed");
    drop(owner);
    // The tables are there already: the step is tried, once nobody runs.
    assert!(!beside().err().unwrap().to_string().contains("Restart"));
    db.pragma_update(None, "user_version", known).unwrap();
    assert!(beside().is_ok());
}

#[test]
fn an_empty_file_beside_a_full_log_is_not_taken_for_a_new_one() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..10));
    let copy = copy_of(dir.path());
    fs::write(crate::db::file(copy.path()), []).unwrap();
    let why = refusal(copy.path());
    assert!(why.contains("its log pelton.db-wal is not"), "{why}");
    assert!(fs::metadata(copy.path().join("pelton.db-wal")).unwrap().len() > 0);
}

#[test]
fn a_log_cut_at_any_frame_gives_the_last_whole_commit() {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4_096;
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.store.inner.db.lock().unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    // Where the log ends after each commit.
    let log = dir.path().join("pelton.db-wal");
    let mut ends = vec![0];
    for n in 0..8 {
        let body = vec![b'x'; 3_000 * (n + 1)];
        worker.send(&[Outgoing::of(body)]);
        ends.push(fs::metadata(&log).unwrap().len() as usize);
    }
    let whole = copy_of(dir.path());
    let bytes = fs::read(whole.path().join("pelton.db-wal")).unwrap();
    let frames = (bytes.len() - HEADER) / FRAME;
    for frame in 0..=frames {
        // At the frame, and in the middle of it.
        for cut in [HEADER + frame * FRAME, (HEADER + frame * FRAME + FRAME / 2).min(bytes.len())] {
            let copy = copy_of(whole.path());
            fs::write(copy.path().join("pelton.db-wal"), &bytes[..cut]).unwrap();
            let store = open(copy.path()).unwrap();
            let committed = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
            let found = store.status(NAME, Some(NAME), None).unwrap().queued;
            assert_eq!(found as usize, committed, "cut at {cut}");
        }
    }
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let parent = dir();
    let dir = parent.path().join("data");
    let worker = Worker::open(&dir);
    worker.send(&numbers(0..1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
