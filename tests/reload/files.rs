//! A watched file: replaced by rename, by copy and by an edit in place; written slowly.

use crate::{component, file, site, taken_by};
use pelton_tests::components::orders_version;
use std::io::{Seek, SeekFrom, Write};

#[test]
fn a_file_is_taken_however_it_is_replaced() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    let swapped = |count| {
        worker.log.wait_for("it is taken", count, |line| line.says("a new version takes all messages"));
    };
    let new = file(&site, "new", &orders_version(1));
    std::fs::rename(new, component(&site)).expect("it is renamed");
    swapped(1);
    assert_eq!(taken_by(&site, &worker.log, 2), 1);
    std::fs::write(component(&site), orders_version(2)).expect("it is copied over");
    swapped(2);
    assert_eq!(taken_by(&site, &worker.log, 3), 2);
    // In place, and no longer than before.
    let mut open = std::fs::OpenOptions::new().write(true).open(component(&site)).expect("it is there");
    open.seek(SeekFrom::Start(0)).and_then(|_| open.write_all(&orders_version(3))).expect("it is edited");
    drop(open);
    swapped(3);
    assert_eq!(taken_by(&site, &worker.log, 4), 3);
    worker.stop();
}

/// A mounted `ConfigMap` is a link, whose folder changes under it.
#[test]
fn what_a_link_leads_to_is_taken_when_the_worker_is_told_to() {
    let site = site("", &[]);
    let first = file(&site, "first", &orders_version(1));
    std::fs::remove_file(component(&site)).expect("it is there");
    std::os::unix::fs::symlink(first, component(&site)).expect("a link can be made");
    let worker = site.worker().ready();
    worker.log.wait("it says what to do", |line| line.says("is a link") && line.says("`pelton reload`"));
    assert_eq!(taken_by(&site, &worker.log, 1), 1);
    let (next, second) = (site.path().join("next"), file(&site, "second", &orders_version(2)));
    std::os::unix::fs::symlink(second, &next).expect("a link can be made");
    std::fs::rename(next, component(&site)).expect("it is swapped");
    let done = site.done(&["reload"]);
    assert!(done.contains("orders has its new handler"), "{done}");
    assert_eq!(taken_by(&site, &worker.log, 2), 2);
    worker.stop();
}

#[test]
fn a_file_that_is_being_written_is_not_taken_half() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    let bytes = orders_version(5);
    let mut open = std::fs::File::create(component(&site)).expect("it can be written");
    // Now and then longer than a look takes: what is there then is no component yet, and is refused.
    for part in bytes.chunks(bytes.len() / 8) {
        open.write_all(part).expect("it is written");
        std::thread::park_timeout(std::time::Duration::from_millis(150));
    }
    drop(open);
    worker.log.wait("it is taken whole", |line| line.says("a new version takes all messages"));
    assert_eq!(taken_by(&site, &worker.log, 1), 5);
    worker.stop();
}
