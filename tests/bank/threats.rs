//! What a handler could do to the database, to its worker and to others by SQL: it is refused, bounded or
//! ended, and the worker goes on.

use crate::shared;
use pelton_tests::bank::{Bank, send};
use pelton_tests::log::Line;
use pelton_tests::memory;
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use serde_json::{Value, json};

/// A site whose handler runs what it is told, and gives up soon.
fn site(bank: &Bank, more: &str) -> Site {
    let retry = "max_attempts = 2\ninitial_interval = \"10ms\"\nmax_interval = \"10ms\"";
    bank.site(&Bank::pipeline("").replaced("retry", retry).with("handler", more))
}

fn run(id: u64, times: u32, statements: &[&str]) -> String {
    json!({"id": id, "how": "run", "times": times, "statements": statements}).to_string()
}

/// What the handler says of what it has run.
fn is_run(line: &Line) -> bool {
    line.field("message").starts_with("ran ")
}

/// Whatever was tried, the accounts are as they were.
fn nothing_was_done(bank: &Bank) {
    let changed = "SELECT count(*) FROM accounts WHERE balance <> (SELECT max(balance) FROM accounts)";
    assert_eq!((bank.count(), bank.db.number(changed)), (0, 0));
    assert!(bank.db.number("SELECT max(balance) FROM accounts") > 0);
}

/// Runs messages of statements, by their ids from 1 on; for each what came of the last of its statements at
/// the last attempt, and its letter if it has one.
fn ran(site: &Site, messages: &[String]) -> Vec<(String, Option<Value>)> {
    site.send_lines("transfers", &[], messages);
    let (worker, _) = site.until_empty();
    let (lines, letters) = (worker.log.lines(), site.letters("transfers"));
    let of = |id: usize| {
        let begins = format!("ran {id}: ");
        let said = |line: &&Line| line.field("message").starts_with(&begins);
        let said = lines.iter().rev().find(said).map(|line| line.field("message").to_owned());
        let body = format!("\"id\":{id},");
        let is_its = |letter: &&Value| letter["body"].as_str().is_some_and(|text| text.contains(&body));
        (said.unwrap_or_default(), letters.iter().find(is_its).cloned())
    };
    (1..=messages.len()).map(of).collect()
}

#[test]
fn what_would_end_the_transaction_is_refused_however_it_is_written() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = site(&bank, "concurrency = 1");
    let write = "update accounts set balance = 0";
    let statements = [
        "commit",
        "COMMIT;",
        " \t\r\n commit",
        "--x\ncommit",
        "/*/**/*/commit",
        "/* -- */ rollback",
        ";commit",
        "; ; end",
        "start transaction",
        "prepare p as select 1",
        "rollback to savepoint pelton",
        "set role postgres",
        "reset all",
        "discard all",
        "listen x",
        "copy accounts to stdout",
        "copy accounts from program 'true'",
    ];
    let message = |(id, statement): (u64, &&str)| run(id, 1, &[write, statement, "select 1/0"]);
    let messages: Vec<String> = (1..).zip(&statements).map(message).collect();
    for (statement, (said, letter)) in statements.iter().zip(ran(&site, &messages)) {
        assert!(said.contains("refused"), "`{statement}`: {said}");
        assert!(letter.is_some(), "`{statement}`: the last statement failed, and it answered ok");
    }
    nothing_was_done(&bank);
}

#[test]
fn what_only_the_database_can_refuse_fails_the_message() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = site(&bank, "concurrency = 1");
    let write = "update accounts set balance = 0";
    bank.db.run(
        "CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
         CREATE FUNCTION hides() RETURNS int LANGUAGE plpgsql
         AS $$ BEGIN EXECUTE 'commit'; RETURN 1; END $$;",
    );
    let statements = [
        "select 1; commit",
        "\u{feff}commit",
        "select 1; select 2",
        "do $$ begin commit; end $$",
        "do 'begin rollback; end'",
        "do $x$ begin execute 'commit'; end $x$",
        "call ends()",
        "select hides()",
        "select 'a''; commit; --'; commit",
        "select E'\\'; commit; --'; commit",
        "with x as (select 1) select * from x; commit",
        "select $1, $2",
        "vacuum accounts",
    ];
    let message = |(id, statement): (u64, &&str)| run(id, 1, &[write, statement]);
    let messages: Vec<String> = (1..).zip(&statements).map(message).collect();
    for (statement, (said, letter)) in statements.iter().zip(ran(&site, &messages)) {
        let code = said.rsplit(' ').next().unwrap_or_default();
        assert!(code.len() == 5 || code == "refused", "`{statement}`: {said}");
        let letter = letter.unwrap_or_else(|| panic!("`{statement}` was answered with ok: {said}"));
        assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
    }
    nothing_was_done(&bank);
}

#[test]
fn results_that_are_too_large_are_cut_and_cost_no_memory() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = site(&bank, "timeout = \"60s\"");
    for (id, statement) in (1..).zip([
        "select repeat('x', 200000000)",
        "select generate_series(1, 20000000)",
        "select repeat('x', 100000) from generate_series(1, 100000)",
        "select array_agg(n) from generate_series(1, 5000000) n",
    ]) {
        site.send_lines("transfers", &[], &[run(id, 1, &[statement, "select 1"])]);
    }
    let worker = site.worker().ready();
    worker.log.wait_for("it has run them", 4, is_run);
    let lines = worker.log.lines();
    let said: Vec<&str> =
        lines.iter().filter(|line| is_run(line)).map(|line| line.field("message")).collect();
    assert!(said.iter().all(|said| said.ends_with("too-large 1")), "the transaction stands: {said:?}");
    let peak = memory::peak(worker.pid).expect("it runs") >> 20;
    assert!(peak < 700, "{peak} MiB");
    worker.stop();
}

#[test]
fn ten_thousand_statements_are_one_message() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = site(&bank, "timeout = \"60s\"");
    let (said, letter) = ran(&site, &[run(1, 10_000, &["select 1"])]).remove(0);
    // Either it may, or it is told that it may not.
    assert!(said.ends_with(" 1") || said.ends_with("refused"), "{said}");
    assert!(letter.is_none(), "{said}");
    send(&site, 10..=20);
    drop(site.until_empty());
    bank.balance(10..=20);
}

#[test]
fn a_statement_that_sleeps_ends_with_its_message_and_is_gone() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = site(&bank, "timeout = \"1s\"");
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                  AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";
    let message = |(id, how): (u64, &str)| {
        json!({"how": how, "id": id, "statements": ["select pg_sleep(3600)"]}).to_string()
    };
    let messages: Vec<String> = (1..).zip(["run", "stage"]).map(message).collect();
    for (_, letter) in ran(&site, &messages) {
        assert!(letter.is_some(), "both have slept for too long");
    }
    until("they sleep no more", || (bank.db.number(sleeps) == 0).then_some(()));
    send(&site, 10..=20);
    drop(site.until_empty());
    bank.balance(10..=20);
}

#[test]
fn a_handler_that_ends_its_own_session_or_its_own_record_hurts_itself() {
    let server = shared();
    let bank = Bank::open(&server);
    let site = site(&bank, "");
    for (id, statement) in
        [(1, "select pg_terminate_backend(pg_backend_pid())"), (2, "delete from pelton_processed")]
    {
        site.send_lines("transfers", &[], &[run(id, 1, &["update accounts set balance = 0", statement])]);
    }
    let worker = site.worker().ready();
    send(&site, 10..=40);
    bank.wait(31);
    worker.log.wait("it has run", |line| line.says("ran 1"));
    until("both have been given up on", || (site.letters("transfers").len() == 2).then_some(()));
    worker.stop();
    bank.balance(10..=40);
}
