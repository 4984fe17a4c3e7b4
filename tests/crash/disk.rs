//! Faults 4 and 5: a disk that fails, and one that is full for a while.

use crate::{good, orders_site};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::site::Site;
use pelton_tests::small_disk::{self, SmallDisk};
use pelton_tests::wait::until;
use pelton_tests::worker::{Ended, Worker};
use std::process::Command;

/// Runs a worker whose `n`-th call of each of these names fails with an input-output error.
fn with_errors(site: &Site, calls: &str, n: u32) -> (Worker, Ended) {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:error=EIO:when={n}")]);
    command.arg(pelton_tests::binary::pelton()).args(["run", "--until-empty", "--log-format", "json"]);
    let worker = Worker::start(command.current_dir(site.path()).env("PELTON_CACHE", "off"));
    let ended = worker.wait();
    (worker, ended)
}

#[test]
fn a_write_or_a_sync_that_fails_ends_the_worker_and_loses_nothing() {
    let site = orders_site();
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    site.until_empty();
    let (mut first, mut stopped) = (1, 0);
    for (calls, places) in [("fsync,fdatasync", 1..=8), ("pwrite64", 1..=20)] {
        for n in places {
            books.send(&site, &[], &(first..first + 20).collect::<Vec<_>>(), good);
            let (worker, ended) = with_errors(&site, calls, n);
            let code = ended.code;
            assert!(matches!(code, Some(0 | 70 | 78)), "{calls} {n}: {ended:?}{}", worker.log.tail());
            stopped += u32::from(code != Some(0));
            books.balance(&site);
            site.until_empty();
            let fates = books.balance(&site);
            assert!(fates.queued.is_empty(), "after {calls} {n}: {fates:?}");
            first += 20;
        }
    }
    assert!(stopped > 8, "only {stopped} workers met the error");
}

#[test]
fn a_full_disk_holds_work_up_and_loses_nothing() {
    let site = orders_site();
    if !small_disk::may_mount(&site.path().join("data")) {
        return eprintln!("skipped: mounting a small disk needs root");
    }
    let disk = SmallDisk::mount(&site.path().join("disk"), &site.path().join("data"), 16);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    books.send(&site, &["--delay", "3s"], &(1..=3_000).collect::<Vec<_>>(), good);
    let worker = site.worker().ready();
    let ballast = disk.fill();
    worker.log.wait("it says that it cannot commit", |line| line.says("could not commit"));
    let refused = site.run(&["send", "orders", "--body", "{}"]);
    assert!(!refused.status.success(), "a full disk took a message");
    std::fs::remove_file(ballast).expect("the ballast is removed");
    until("all is handled", || (site.status("orders").handled == 3_000).then_some(()));
    worker.stop();
    let fates = books.balance(&site);
    assert_eq!((fates.completed.len(), fates.queued.len()), (3_000, 0));
}
