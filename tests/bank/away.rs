//! A database that is away, slow, full, out of connections, read only, or locked by a migration: work stops,
//! no message pays for it with an attempt, `status` says why, and it goes on by itself.

use crate::shared;
use pelton_tests::bank::{Bank, send, transfer_that};
use pelton_tests::postgres::{Postgres, Setup};
use pelton_tests::proxy::Proxy;
use pelton_tests::site::Site;
use pelton_tests::small_disk::{self, SmallDisk};
use pelton_tests::wait::{DEADLINE, POLL_INTERVAL, until};
use pelton_tests::worker::Worker;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// A bank with a server of its own, whose worker comes to it by a proxy.
struct Scene {
    server: Postgres,
    bank: Bank,
    proxy: Proxy,
    site: Site,
}

impl Scene {
    fn of(server: Postgres) -> Self {
        Self::with(server, "")
    }

    /// With lines about the handler.
    fn with(server: Postgres, handler: &str) -> Self {
        let bank = Bank::open(&server);
        let proxy = Proxy::plain(&server.address);
        let pipeline = Bank::pipeline("max_in_flight = 32").with("handler", handler);
        let site = bank.site_by(&bank.db.by(&proxy.address), &pipeline);
        Self { server, bank, proxy, site }
    }

    fn new() -> Self {
        Self::of(Postgres::start())
    }

    /// Transfers of which none fails by itself.
    fn send(&self, numbers: RangeInclusive<u64>) {
        let lines: Vec<String> = numbers.map(|n| transfer_that(n, "plain")).collect();
        self.site.send_lines("transfers", &[], &lines);
    }

    /// Waits until `status` says what troubles the pipeline.
    fn status_says(&self, words: &[&str], worker: &Worker) {
        let (since, mut status) = (Instant::now(), String::new());
        while !words.iter().all(|word| status.contains(word)) {
            assert!(since.elapsed() < DEADLINE, "{words:?}: {status}{}", worker.log.tail());
            std::thread::park_timeout(POLL_INTERVAL * 40);
            status = self.site.done(&["status"]);
        }
    }

    /// While a worker makes transfers the database is made bad, until `status` says so with these words; then
    /// well again. All are made, and no attempt was counted but the first.
    fn worker_bears(&self, words: &[&str], spoil: impl FnOnce(), mend: impl FnOnce()) {
        self.worker_bears_with(words, 0, spoil, mend);
    }

    /// The same, where so many attempts may fail.
    fn worker_bears_with(&self, words: &[&str], retries: u64, spoil: impl FnOnce(), mend: impl FnOnce()) {
        self.send(1..=100);
        let worker = self.site.worker().ready();
        self.bank.wait(30);
        spoil();
        self.send(101..=200);
        self.status_says(words, &worker);
        mend();
        self.bank.wait(200);
        Bank::settles(&self.site);
        worker.stop();
        self.bank.balance(1..=200);
        let status = self.site.status("transfers");
        // One whose answer was lost may be counted as handled again, or as a duplicate; in the books it is
        // once.
        assert!(status.handled + status.duplicates >= 200, "{status:?}");
        assert_eq!(status.dead_letters, 0, "{status:?}");
        assert!(status.retries <= retries, "{status:?}");
    }
}

#[test]
fn away() {
    let scene = Scene::new();
    scene.worker_bears(&["not ready"], || scene.server.stop_fast(), || scene.server.begin());
}

#[test]
fn cut_off() {
    let scene = Scene::new();
    scene.worker_bears(&["not ready"], || scene.proxy.cut(), || scene.proxy.mend());
}

#[test]
fn read_only_as_a_replica_is() {
    let scene = Scene::new();
    let read_only = |value| scene.server.set("default_transaction_read_only", value);
    scene.worker_bears(&["not ready", "read-only"], || read_only(Some("on")), || read_only(None));
}

#[test]
fn out_of_connections() {
    let options = "-c max_connections=40 -c superuser_reserved_connections=0";
    let scene = Scene::of(Postgres::with_options(options));
    let admin = scene.server.admin();
    let taken = RefCell::new(Vec::new());
    let take = || {
        let db = &scene.bank.db;
        until("others have all of them", || {
            let ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = ";
            admin.run(&format!("{ends} '{}' AND application_name <> 'pelton-tests'", db.name));
            taken.borrow_mut().extend(std::iter::from_fn(|| db.try_session().ok()));
            let has = "SELECT count(*) FROM pg_stat_activity WHERE datname = ";
            let left = admin.number(&format!("{has} '{}' AND application_name <> 'pelton-tests'", db.name));
            (left == 0).then_some(())
        });
    };
    scene.worker_bears(&["not ready", "53300"], take, || taken.borrow_mut().clear());
}

#[test]
fn locked_by_a_migration_of_the_bank() {
    let server = shared();
    let bank = Bank::open(&server);
    let pipeline = Bank::pipeline("max_in_flight = 32").with("handler", "timeout = \"1s\"");
    let site = bank.site(&pipeline);
    send(&site, 1..=200);
    let worker = site.worker().ready();
    bank.wait(50);
    let held = bank.db.lock("accounts");
    until("handlers wait for it", || {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database =
                     (SELECT oid FROM pg_database WHERE datname = current_database())";
        (bank.db.number(waits) > 0).then_some(())
    });
    drop(held);
    bank.wait(200);
    Bank::settles(&site);
    worker.stop();
    bank.balance(1..=200);
}

#[test]
fn locked_by_a_migration_of_the_ledger() {
    let scene = Scene::new();
    let held = RefCell::new(None);
    let lock = || drop(held.replace(Some(scene.bank.db.lock("pelton_processed"))));
    scene.worker_bears(&["not ready", "55P03"], lock, || drop(held.take()));
}

#[test]
fn slow() {
    let scene = Scene::new();
    scene.proxy.delay(Duration::from_millis(30));
    scene.send(1..=100);
    drop(scene.site.until_empty());
    scene.bank.balance(1..=100);
}

#[test]
fn standing_still() {
    let scene = Scene::with(Postgres::start(), "timeout = \"5s\"");
    // A handler whose statement is not answered in its time has timed out: whether the statement is slow or
    // the way to the database silent cannot be told apart then. One attempt of what was running.
    let words = ["not ready", "does not answer"];
    scene.worker_bears_with(&words, 16, || scene.proxy.stall(), || scene.proxy.flow());
}

#[test]
fn on_a_full_disk() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let at = dir.path().join("disk");
    std::fs::create_dir(&at).expect("a folder can be made");
    if !small_disk::may_mount(&at) {
        return eprintln!("skipped: mounting a small disk needs root");
    }
    let disk = SmallDisk::mount(&dir.path().join("image"), &at, 160);
    let options = "-c min_wal_size=32MB -c max_wal_size=48MB -c checkpoint_timeout=30s".to_owned();
    let scene = Scene::of(Postgres::start_with(Setup { options, data: Some(at), ..Setup::default() }));
    // What is written for a while needs no new pages: so some are taken.
    scene.bank.db.run("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 100)");
    let spoil = || {
        drop(disk.fill());
        // Fills what the server has made in advance.
        let more = "INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
        until("it is full", || match scene.bank.db.try_session() {
            Ok(session) => session.try_run(more).err().map(drop),
            Err(_) => Some(()),
        });
    };
    let mend = || {
        std::fs::remove_file(dir.path().join("disk/ballast")).expect("the ballast is removed");
        scene.server.begin_if_ended();
    };
    scene.worker_bears(&["not ready"], spoil, mend);
}
