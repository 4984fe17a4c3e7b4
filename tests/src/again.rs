//! What is asked alike of the brokers: letters that go back while a worker fails them again, keys of bytes,
//! waits that nobody could live to see the end of.

use crate::components::{accepting, waiting};
use crate::site::{Pipeline, Site, Status};
use crate::wait::until;
use crate::worker::Worker;

/// An id of eight bytes that are no text: as lossy text they would all be one.
#[must_use]
pub fn event_id(number: u64) -> Vec<u8> {
    (number << 32 | 0xfeff_80c0).to_be_bytes().to_vec()
}

/// Waits until there is a letter of each of so many messages of `orders`, puts them back while the worker
/// that has failed them runs, and sees that each is put back once.
///
/// # Panics
/// When it is not.
pub fn letters_go_back_once(site: &Site, count: u64) {
    let worker = site.worker().ready();
    let lettered = || {
        let now = site.status("orders");
        (now.dead_letters == count && now.left() == 0).then_some(())
    };
    until("all are letters", lettered);
    let replay = ["dlq", "replay", "orders", "--all", "--rate", "1000/s"];
    let ended = Worker::start(&mut site.command(&replay)).wait();
    assert!(ended.out.starts_with(&format!("replayed {count} letters")), "{ended:?}");
    until("all are letters again", lettered);
    worker.stop();
}

/// How many of the messages of a source are handled where they are known by `key`, and how many are
/// duplicates.
///
/// # Panics
/// When some are neither.
#[must_use]
pub fn known_by(source: &str, key: &str) -> (u64, u64) {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let known = Pipeline::new("orders", accepting(dir.path())).with("", source);
    let site = Site::new(&[known.with("dedup", &format!("key = \"{key}\""))]);
    let status = Status::of(&site.until_empty().1.out, "orders");
    assert_eq!((status.dead_letters, status.left()), (0, 0), "{key}");
    (status.handled, status.duplicates)
}

/// Sees that so many messages whose handler asks for another try after `after_ms` get it after
/// `retry.max_delay`, and that it is said once. `send` sends what the source has not yet.
///
/// # Panics
/// When it is not so.
pub fn the_longest_wait_is_ours(source: &str, after_ms: u64, count: u64, send: impl FnOnce(&Site)) {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let retry =
        "max_attempts = 2\ninitial_interval = \"1ms\"\nmax_interval = \"5ms\"\nmax_delay = \"200ms\"";
    let waits = Pipeline::new("orders", waiting(dir.path(), after_ms)).with("", source);
    let site = Site::new(&[waits.with("retry", retry)]);
    send(&site);
    let (worker, ended) = site.until_empty();
    assert_eq!(Status::of(&ended.out, "orders").dead_letters, count, "after {after_ms} ms");
    let said = worker.log.lines().iter().filter(|line| line.says("`retry.max_delay`")).count();
    assert_eq!(said, 1, "after {after_ms} ms: it is said once{}", worker.log.tail());
}
