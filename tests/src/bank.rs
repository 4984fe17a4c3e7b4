//! Books of the example handler `transfers`: accounts and transfers are tables of a database, and every
//! transfer that was answered `Ok` has to be in them once. Read with SQL of our own.

use crate::components::plugin;
use crate::postgres::{Db, Postgres, Session};
use crate::random::Random;
use crate::site::{Pipeline, Site};
use crate::wait::{DEADLINE, POLL_INTERVAL, until};
use serde_json::json;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Accounts that there are.
pub const ACCOUNTS: u64 = 20;
/// What each has at first.
const BALANCE: i64 = 1_000_000;

/// The tables of the bank. No constraint keeps a transfer from being there twice: that shows in the books.
const TABLES: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
    CREATE TABLE transfers (
        id bigint NOT NULL, payer bigint NOT NULL, payee bigint NOT NULL, cents bigint NOT NULL
    );
    CREATE SEQUENCE conflicts;
    CREATE FUNCTION conflict() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('conflicts') % 2 = 0 THEN RETURN 1; END IF;
        RAISE EXCEPTION 'in conflict with nobody' USING ERRCODE = '40001';
    END $$;";

/// What a transfer does besides: the words of the handler.
pub const MIX: [(u64, &str); 8] = [
    (1, "retry"),
    (2, "swallow"),
    (3, "swallow_staged"),
    (4, "commit"),
    (5, "conflict"),
    (6, "hidden"),
    (7, "trap"),
    (8, "slow"),
];

/// A bank in a database of its own.
pub struct Bank {
    /// The database.
    pub db: Db,
    /// Looks at the books again and again. It may be ended as any other.
    look: Mutex<Option<Session>>,
}

impl Bank {
    /// Opens one, with its accounts. The tables of Pelton are made by the first [`Bank::site`].
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn open(server: &Postgres) -> Self {
        let db = server.database();
        db.run(TABLES);
        db.run(&format!("INSERT INTO accounts SELECT n, {BALANCE} FROM generate_series(1, {ACCOUNTS}) n"));
        Self { db, look: Mutex::default() }
    }

    /// The head of a configuration that names the database `shop`, at this address.
    #[must_use]
    pub fn head(&self, db: &Db, more: &str) -> String {
        format!("[databases.shop]\nurl = {:?}\n{more}\n", db.url())
    }

    /// The pipeline `transfers`, with what else stands in its own section. Retries are quick.
    #[must_use]
    pub fn pipeline(source: &str) -> Pipeline {
        Pipeline::new("transfers", plugin("transfers"))
            .with("", source)
            .with("dedup", "key = \"json:/id\"")
            .with("retry", "max_attempts = 50\ninitial_interval = \"20ms\"\nmax_interval = \"200ms\"")
            .with("grants", "sql = [\"shop\"]")
    }

    /// A worker's folder with the pipeline, and the tables of Pelton in the database.
    #[must_use]
    pub fn site(&self, pipeline: &Pipeline) -> Site {
        self.site_by(&self.db, pipeline)
    }

    /// The same by another way to the database.
    #[must_use]
    pub fn site_by(&self, db: &Db, pipeline: &Pipeline) -> Site {
        let site = Site::with(&self.head(db, ""), std::slice::from_ref(pipeline));
        site.done(&["db", "init", "--database", "shop"]);
        site
    }

    /// How many transfers are in the books.
    #[must_use]
    pub fn count(&self) -> i64 {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        until("the books can be looked at", || {
            let count =
                look.as_ref().and_then(|session| session.try_number("SELECT count(*) FROM transfers"));
            if count.is_none() {
                *look = self.db.try_session().ok();
            }
            count
        })
    }

    /// Waits until nothing is left in the queue of a site, whose worker runs.
    pub fn settles(site: &Site) {
        until("all is settled", || {
            let left = site.status("transfers").left();
            if left > 0 {
                // A command costs more than what it tells here.
                std::thread::park_timeout(POLL_INTERVAL * 40);
            }
            (left == 0).then_some(())
        });
    }

    /// Waits until so many transfers are in the books. More may come only if some came twice.
    ///
    /// # Panics
    /// When there are no more for `DEADLINE`.
    pub fn wait(&self, count: usize) {
        self.wait_doing(count, || {});
    }

    /// The same, and does something between two looks.
    ///
    /// # Panics
    /// As `wait`.
    pub fn wait_doing(&self, count: usize, mut meanwhile: impl FnMut()) {
        let (mut before, mut since) = (-1, Instant::now());
        loop {
            let now = self.count();
            if now >= count as i64 {
                return;
            }
            if now != before {
                (before, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < DEADLINE, "{now} of {count} transfers, and no more come");
            meanwhile();
            std::thread::park_timeout(POLL_INTERVAL * 8);
        }
    }

    /// Sees that no transfer is in the books more than once, while some may be missing yet.
    ///
    /// # Panics
    /// When something was done twice; `when` says after what.
    pub fn nothing_twice(&self, when: &str) {
        let twice = "SELECT count(*) FROM (SELECT id FROM transfers GROUP BY id HAVING count(*) > 1) AS t";
        assert_eq!(self.db.number(twice), 0, "transfers that are in the books more than once, {when}");
    }

    /// Sees that these transfers are in the books, once each, and that the balances are what they make of
    /// them.
    ///
    /// # Panics
    /// When something is lost, or was done twice, or by halves.
    pub fn balance(&self, numbers: RangeInclusive<u64>) {
        let books = self.db.session();
        let (first, last) = (*numbers.start(), *numbers.end());
        let ids = |query: &str| -> Vec<String> {
            books.rows(query).into_iter().take(20).filter_map(|row| row[0].clone()).collect()
        };
        let twice = ids("SELECT id FROM transfers GROUP BY id HAVING count(*) > 1");
        assert!(twice.is_empty(), "in the books more than once: {twice:?}");
        let missing = ids(&format!(
            "SELECT n FROM generate_series({first}, {last}) n
             WHERE NOT EXISTS (SELECT FROM transfers WHERE id = n)"
        ));
        assert!(missing.is_empty(), "not in the books: {missing:?}");
        assert_eq!(books.number("SELECT count(*) FROM transfers"), numbers.count() as i64, "rows");
        let sum = books.number("SELECT sum(balance)::bigint FROM accounts");
        assert_eq!(sum, BALANCE * ACCOUNTS as i64, "money");
        let wrong = ids(&format!(
            "SELECT id || ': ' || balance FROM accounts a WHERE balance <> {BALANCE}
             - (SELECT coalesce(sum(cents), 0) FROM transfers WHERE payer = a.id)
             + (SELECT coalesce(sum(cents), 0) FROM transfers WHERE payee = a.id)"
        ));
        assert!(wrong.is_empty(), "balances: {wrong:?}");
    }
}

/// The transfer of a number, of two different accounts, that does this besides.
#[must_use]
pub fn transfer_that(number: u64, how: &str) -> String {
    let mut random = Random(number);
    let from = 1 + random.below(ACCOUNTS);
    let to = 1 + (from - 1 + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
    let cents = 1 + random.below(1_000);
    json!({"id": number, "from": from, "to": to, "cents": cents, "how": how}).to_string()
}

/// The transfer of a number; some of them do what handlers should not.
#[must_use]
pub fn transfer(number: u64) -> String {
    let how = MIX.iter().find(|(of, _)| number % 50 == *of);
    transfer_that(number, how.map_or(if number % 50 < 20 { "staged" } else { "plain" }, |(_, how)| how))
}

/// Sends transfers to the embedded queue of a site.
pub fn send(site: &Site, numbers: RangeInclusive<u64>) {
    site.send_lines("transfers", &[], &numbers.map(transfer).collect::<Vec<_>>());
}
