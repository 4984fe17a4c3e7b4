//! What a handler has done commits with the ledger's row, or neither does.

use crate::shop::{Shop, Tx, Wants, server, statement};
use pelton_core::effects::{Effects, OpenTransaction, SqlValue, Staged, Transaction, TransactionState};
use pelton_core::message::Parts;
use pelton_core::ports::{Claim, ClaimItem, Completion, ErrorClass, Verdict};
use pelton_core::{Identity, Message};
use pelton_store::ledger_key;
use pelton_tests::postgres::Session;
use pelton_tests::proxy::Proxy;
use pelton_tests::wait::until;
use std::sync::Arc;
use std::time::Duration;

/// A message in work, with what its handler does.
pub struct Work {
    item: ClaimItem,
    claim: Claim,
}

impl Work {
    /// Claims the message of a number.
    pub fn start(shop: &Shop, number: usize) -> Self {
        let item = keyed(number);
        match claim(shop, &item) {
            Verdict::Fresh { claim, .. } => Self { item, claim },
            other => panic!("{other:?}"),
        }
    }

    fn completion(&self, staged: &Staged) -> Completion {
        Completion {
            claim: self.claim,
            identity: self.item.identity,
            skipped: 0,
            settle: None,
            effects: Some(staged.clone()),
            after: None,
        }
    }
}

/// The message of a number.
fn keyed(number: usize) -> ClaimItem {
    ClaimItem {
        identity: Identity::Key(ledger_key(format!("key-{number}").as_bytes())),
        message: Message::new(Parts::named(&format!("m-{number}"))),
        attempts: 0,
        scope: Some(Arc::from("the tests' queue")),
    }
}

fn claim(shop: &Shop, item: &ClaimItem) -> Verdict {
    until("the ledger answers", || {
        shop.runtime
            .block_on(shop.part.ledger().claim(vec![item.clone()], false))
            .ok()
            .map(|verdicts| verdicts[0])
    })
}

fn staged(transaction: &Arc<dyn Transaction>, messages: u32) -> Staged {
    let mut effects = Effects::default();
    effects.transaction = Some(OpenTransaction(transaction.clone()));
    Staged::of(effects, messages).expect("there is a transaction")
}

/// Completes messages of one call, as the engine does.
pub fn complete(shop: &Shop, all: &[&Work], tx: Tx<'_>) -> (Vec<Result<(), ErrorClass>>, Staged) {
    let staged = staged(&tx.transaction, all.len().try_into().expect("a few"));
    drop(tx);
    (ask(shop, all, &staged), staged)
}

fn ask(shop: &Shop, all: &[&Work], staged: &Staged) -> Vec<Result<(), ErrorClass>> {
    let batch = all.iter().map(|work| work.completion(staged)).collect();
    shop.runtime.block_on(shop.part.ledger().complete(batch))
}

/// Asks until there is an answer that is one.
fn ask_until_known(shop: &Shop, work: &Work, staged: &Staged) -> Result<(), ErrorClass> {
    until("the ledger knows", || match ask(shop, &[work], staged)[0] {
        Err(ErrorClass::Transient) => None,
        known => Some(known),
    })
}

fn add(tx: &Tx<'_>, item: &str) {
    tx.execute("INSERT INTO stock VALUES ($1, 1)", &[SqlValue::Text(item.to_owned())]).expect("it works");
}

fn items(shop: &Shop) -> i64 {
    shop.db.number("SELECT count(*) FROM stock")
}

fn done(shop: &Shop) -> i64 {
    shop.db.number("SELECT count(*) FROM pelton_processed WHERE state = 'd'")
}

#[test]
fn an_effect_and_its_row_are_there_together_and_once() {
    let shop = Shop::open();
    let work = Work::start(&shop, 1);
    let tx = shop.begin();
    add(&tx, "apple");
    assert_eq!((items(&shop), done(&shop)), (0, 0));
    let (results, staged) = complete(&shop, &[&work], tx);
    assert_eq!(results, [Ok(())]);
    assert_eq!((items(&shop), done(&shop)), (1, 1));
    assert_eq!(claim(&shop, &keyed(1)), Verdict::Duplicate);
    // The connection is free, though what was staged is not dropped.
    assert_eq!(shop.begin().execute("SELECT 1", &[]), Ok(1));
    drop(staged);
}

#[test]
fn messages_of_one_call_commit_together() {
    let shop = Shop::open();
    let works: Vec<Work> = (0..3).map(|number| Work::start(&shop, number)).collect();
    let tx = shop.begin();
    add(&tx, "apple");
    let (results, _) = complete(&shop, &works.iter().collect::<Vec<_>>(), tx);
    assert_eq!(results, [Ok(()); 3]);
    assert_eq!((items(&shop), done(&shop)), (1, 3));
}

#[test]
fn messages_that_share_a_transaction_commit_without_the_one_that_failed() {
    let shop = Shop::wanting(Wants { per_chunk: true, ..Wants::default() });
    let works: Vec<Work> = (0..3).map(|number| Work::start(&shop, number)).collect();
    let tx = shop.begin_for(3);
    for item in ["apple", "pear", "apple"] {
        tx.begins_message();
        let added = tx.execute("INSERT INTO stock VALUES ($1, 1)", &[crate::shop::text(item)]);
        if added.is_err() {
            tx.undoes_message();
        }
    }
    assert_eq!(complete(&shop, &works.iter().take(2).collect::<Vec<_>>(), tx).0, [Ok(()); 2]);
    assert_eq!((items(&shop), done(&shop)), (2, 2));
}

#[test]
fn a_handler_that_sets_where_names_are_and_who_it_is_commits_all_the_same() {
    let shop = Shop::open();
    shop.db.run(
        "CREATE SCHEMA other; CREATE TABLE other.stock (item text);
         CREATE TABLE other.pelton_processed (x int);
         DROP ROLE IF EXISTS clerk; CREATE ROLE clerk; GRANT USAGE ON SCHEMA other TO clerk;
         GRANT ALL ON other.stock TO clerk",
    );
    let work = Work::start(&shop, 1);
    let tx = shop.begin();
    tx.execute("SET LOCAL search_path = other", &[]).unwrap();
    tx.execute("SET LOCAL ROLE clerk", &[]).unwrap();
    tx.execute("INSERT INTO stock VALUES ('apple')", &[]).unwrap();
    let (results, staged) = complete(&shop, &[&work], tx);
    assert_eq!(results, [Ok(())], "{:?}", staged.effects.failure());
    assert_eq!((shop.db.number("SELECT count(*) FROM other.stock"), done(&shop)), (1, 1));
    // Who comes next is nobody else.
    assert_eq!(shop.begin().value("SELECT current_user::text", &[]), crate::shop::text("postgres"));
    shop.db.run("DROP OWNED BY clerk; DROP ROLE clerk");
}

/// Without a look at what the server says of COMMIT, the message would be lost here.
#[test]
fn what_had_failed_is_not_committed_though_the_handler_says_ok() {
    let shop = Shop::open();
    let work = Work::start(&shop, 1);
    let tx = shop.begin();
    add(&tx, "apple");
    // Nobody waits for it: it fails after the handler has answered.
    tx.stage("INSERT INTO stock SELECT 'apple', 2 FROM pg_sleep(0.1)", &[]);
    let (results, staged) = complete(&shop, &[&work], tx);
    assert_eq!(results, [Err(ErrorClass::Failed)]);
    let words = staged.effects.failure().expect("it says why");
    assert!(words.contains("23505") && words.contains("the handler answered ok"), "{words}");
    assert_eq!((items(&shop), done(&shop)), (0, 0));
    // Asked again it says the same.
    assert_eq!(ask(&shop, &[&work], &staged), [Err(ErrorClass::Failed)]);
}

#[test]
fn a_constraint_that_is_looked_at_last_fails_the_commit() {
    let shop = Shop::open();
    shop.db.run("CREATE TABLE sold (item text REFERENCES stock DEFERRABLE INITIALLY DEFERRED)");
    let work = Work::start(&shop, 1);
    let tx = shop.begin();
    tx.execute("INSERT INTO sold VALUES ('nothing')", &[]).unwrap();
    assert_eq!(tx.transaction.standing(), TransactionState::Open);
    let (results, staged) = complete(&shop, &[&work], tx);
    assert_eq!(results, [Err(ErrorClass::Failed)]);
    assert!(staged.effects.failure().unwrap().contains("23503"));
    assert_eq!(done(&shop), 0);
}

#[test]
fn who_stood_still_commits_nothing_that_another_has_taken_over() {
    let shop = Shop::open();
    let work = Work::start(&shop, 1);
    let tx = shop.begin();
    add(&tx, "apple");
    shop.db.run("UPDATE pelton_processed SET worker = worker + 1000");
    let (results, _) = complete(&shop, &[&work], tx);
    assert_eq!(results, [Err(ErrorClass::LeaseLost)]);
    assert_eq!((items(&shop), done(&shop)), (0, 0));
    assert!(shop.server.log().contains("pelton: another worker has"), "the server's log says what it was");
}

#[test]
fn those_in_each_others_way_at_the_commit_run_again() {
    let shop = Shop::open();
    shop.db.run("INSERT INTO stock VALUES ('apple', 10), ('pear', 10)");
    let (work, other) = (Work::start(&shop, 1), Work::start(&shop, 2));
    let sells = |tx: &Tx<'_>, item: &str| {
        tx.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", &[]).unwrap();
        tx.query("SELECT sum(left_over) FROM stock", &[]).unwrap();
        tx.execute("UPDATE stock SET left_over = 0 WHERE item = $1", &[crate::shop::text(item)]).unwrap();
    };
    let (one, two) = (shop.begin(), shop.begin());
    sells(&one, "apple");
    sells(&two, "pear");
    assert_eq!(complete(&shop, &[&work], one).0, [Ok(())]);
    let (results, staged) = complete(&shop, &[&other], two);
    assert_eq!(results, [Err(ErrorClass::Conflict)]);
    assert!(staged.effects.failure().unwrap().contains("40001"));
    assert_eq!(done(&shop), 1);
}

#[test]
fn a_connection_that_is_lost_before_the_commit_is_no_attempt() {
    let shop = Shop::open();
    let work = Work::start(&shop, 1);
    let tx = shop.begin();
    add(&tx, "apple");
    let pid = tx.value("SELECT pg_backend_pid()", &[]);
    let SqlValue::Integer(pid) = pid else { panic!("{pid:?}") };
    shop.db.run(&format!("SELECT pg_terminate_backend({pid})"));
    until("it is known", || {
        (tx.transaction.standing() != TransactionState::Open || tx.execute("SELECT 1", &[]).is_err())
            .then_some(())
    });
    assert_eq!(complete(&shop, &[&work], tx).0, [Err(ErrorClass::Conflict)]);
    assert_eq!((items(&shop), done(&shop)), (0, 0));
}

/// A shop whose commits wait until a session lets them, by a way that can be cut.
struct Waiting {
    shop: Shop,
    proxy: Proxy,
    gate: Session,
}

impl Waiting {
    fn open() -> Self {
        let server = server();
        let db = server.database();
        db.run(
            "CREATE TABLE stock (item text PRIMARY KEY, left_over int NOT NULL);
             CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON stock DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION waits()",
        );
        let gate = db.session();
        gate.run("SELECT pg_advisory_lock(7)");
        let proxy = Proxy::plain(&db.address);
        let shop = Shop::at(server, db.by(&proxy.address), Wants::default());
        Self { shop, proxy, gate }
    }

    /// Sends the commit of a message, cuts the way while the server is at it, and gives what was staged.
    fn lose_answer(&self, work: &Work) -> Staged {
        self.lose_answers(work, |_| {})
    }

    /// The same, with the answers to what the handler does last.
    fn lose_answers(&self, work: &Work, last: impl FnOnce(&Tx<'_>)) -> Staged {
        let tx = self.shop.begin();
        add(&tx, "apple");
        last(&tx);
        let staged = staged(&tx.transaction, 1);
        drop(tx);
        let ledger = self.shop.part.ledger();
        let batch = vec![work.completion(&staged)];
        let asked = self.shop.runtime.spawn(async move { ledger.complete(batch).await });
        until("the server is at the commit", || self.committing().first().map(drop));
        self.proxy.orphan();
        self.proxy.mend();
        // It asks by itself, and is asked again.
        drop(asked);
        staged
    }

    fn committing(&self) -> Vec<Vec<Option<String>>> {
        self.gate.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' \
             AND state = 'active' AND wait_event_type = 'Lock'",
        )
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_told_by_its_row() {
    let all = Waiting::open();
    let work = Work::start(&all.shop, 1);
    let staged = all.lose_answer(&work);
    // The old backend is still at it: who asks waits for it.
    all.gate.run("SELECT pg_advisory_unlock(7)");
    assert_eq!(ask_until_known(&all.shop, &work, &staged), Ok(()));
    assert_eq!(all.gate.number("SELECT count(*) FROM stock"), 1);
    assert_eq!(claim(&all.shop, &keyed(1)), Verdict::Duplicate);
}

/// Here the connection is lost while an answer is owed that was sent for before the commit.
#[test]
fn a_commit_behind_another_answer_that_is_lost_is_told_by_its_row() {
    let all = Waiting::open();
    let work = Work::start(&all.shop, 1);
    let staged = all.lose_answers(&work, |tx| {
        all.proxy.delay(Duration::from_secs(1));
        tx.stage("INSERT INTO stock VALUES ('pear', 1)", &[]);
    });
    all.proxy.delay(Duration::ZERO);
    all.gate.run("SELECT pg_advisory_unlock(7)");
    assert_eq!(ask_until_known(&all.shop, &work, &staged), Ok(()));
    assert_eq!(all.gate.number("SELECT count(*) FROM stock"), 2);
    assert_eq!(claim(&all.shop, &keyed(1)), Verdict::Duplicate);
}

#[test]
fn a_commit_that_never_was_is_told_by_its_row_too() {
    let all = Waiting::open();
    let work = Work::start(&all.shop, 1);
    let staged = all.lose_answer(&work);
    let pid = all.committing()[0][0].clone().expect("a number");
    all.gate.run(&format!("SELECT pg_terminate_backend({pid})"));
    assert_eq!(ask_until_known(&all.shop, &work, &staged), Err(ErrorClass::Conflict));
    assert_eq!(all.gate.number("SELECT count(*) FROM stock"), 0);
}

#[test]
fn who_waits_for_a_commit_may_go() {
    let shop = Shop::open();
    let work = Work::start(&shop, 1);
    let tx = shop.begin();
    let slow = statement("INSERT INTO stock SELECT 'apple', 1 FROM pg_sleep(0.2)", &[]);
    shop.runtime.block_on(tx.transaction.stage(slow)).unwrap();
    let staged = staged(&tx.transaction, 1);
    drop(tx);
    shop.runtime.block_on(async {
        let ledger = shop.part.ledger();
        let waits = ledger.complete(vec![work.completion(&staged)]);
        tokio::time::timeout(Duration::from_millis(30), waits).await.unwrap_err();
    });
    drop(staged);
    until("it is committed", || (items(&shop) == 1 && done(&shop) == 1).then_some(()));
}
