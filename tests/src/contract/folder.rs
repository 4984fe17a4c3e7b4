//! The data directory of a case: the ledger in it, and what a killed process leaves there.

use pelton_store::{LetterFilter, Options, PipelineOptions, PipelineStore, Store};
use std::path::Path;
use tempfile::TempDir;

const PIPELINE: &str = "orders";

/// An empty one.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn empty() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

/// The store of a folder, and the ledger of the pipeline `orders`, which deduplicates.
///
/// # Panics
/// When the folder is somebody else's.
#[must_use]
pub fn ledger(dir: &Path) -> (Store, PipelineStore) {
    let store = Store::open_owner(dir, Options::default()).expect("the folder is nobody else's");
    let options = PipelineOptions {
        dedup: true,
        expires_after_ms: 86_400_000,
        dead_letter_queue: None,
        letters_by_cause: Vec::new(),
        handler_digest: "sha256:none".into(),
        former_key: None,
        elsewhere: false,
    };
    let ledger = store.pipeline(PIPELINE, options).expect("the pipeline opens");
    (store, ledger)
}

/// The ids of the messages that have a letter here.
///
/// # Panics
/// When they cannot be read.
#[must_use]
pub fn lettered(dir: &Path) -> Vec<String> {
    let beside = Store::open_beside(dir, Options::default()).expect("it opens beside");
    let filter = LetterFilter { limit: 1_000, ..LetterFilter::default() };
    let letters = beside.letters(PIPELINE, None, &filter).expect("letters are listed");
    letters.into_iter().map(|letter| letter.message_id).collect()
}

/// The files as they are now are what a killed process would leave behind: copied away while all is open,
/// with what only the log has, and without the orderly end.
///
/// # Panics
/// When they cannot be copied.
#[must_use]
pub fn left_behind(of: &Path) -> TempDir {
    let dir = empty();
    for name in ["pelton.db", "pelton.db-wal"] {
        let from = of.join(name);
        if from.exists() {
            std::fs::copy(&from, dir.path().join(name)).expect("the file is copied");
        }
    }
    dir
}
