//! The ledger of a fleet in a real PostgreSQL: what the contract of ledgers does not ask. What all ledgers
//! must hold is in the suite `contract`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod books;
mod letters;
mod login;
mod rows;
mod schema;
mod skip;
mod trouble;
mod workers;

use pelton_core::database::DatabaseConfig;
use pelton_tests::member::{Member, configured, wants};
use pelton_tests::postgres::{Db, Postgres};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Longer than any of these tests.
const LONG_MS: u64 = 300_000;

/// The server of all tests that run at a time: it ends with the last of them.
fn server() -> Arc<Postgres> {
    static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::with_options("-c log_statement=all"));
        *running = Arc::downgrade(&server);
        server
    })
}

/// A database with the tables.
struct Fleet {
    db: Db,
    server: Arc<Postgres>,
}

impl Fleet {
    fn new() -> Self {
        let server = server();
        let db = server.database();
        configured(&db).init().expect("the tables can be made");
        Self { db, server }
    }

    fn member(&self, name: &str) -> Member {
        Member::open(&configured(&self.db), name, wants(LONG_MS))
    }
}
