//! Ledgers in a database, through the commands: setting it up, checking it, running, looking, moving,
//! reloading.

use crate::{order, taken};
use pelton_tests::components::plugin;
use pelton_tests::postgres::{Db, Postgres, Setup};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site, Status};
use pelton_tests::wait::until;

/// The pipeline `orders`, whose ledger is in `shop`, as is what else these say.
fn shared(sections: &[(&'static str, &str)]) -> Pipeline {
    let pipeline = Pipeline::new("orders", plugin("orders"))
        .with("retry", "max_attempts = 2\ninitial_interval = \"20ms\"")
        .with("ledger", "database = \"shop\"");
    sections.iter().fold(pipeline, |pipeline, (section, lines)| pipeline.replaced(section, lines))
}

fn head(db: &Db) -> String {
    format!("[databases.shop]\nurl = {:?}", db.url())
}

fn site(db: &Db, sections: &[(&'static str, &str)]) -> Site {
    let site = Site::with(&head(db), &[shared(sections)]);
    site.done(&["db", "init", "--database", "shop"]);
    site
}

fn config(site: &Site) -> std::path::PathBuf {
    site.path().join("pelton.toml")
}

/// Puts other lines in place of some of the configuration.
fn rewrite(site: &Site, from: &str, to: &str) {
    let text = std::fs::read_to_string(config(site)).expect("the configuration");
    assert!(text.contains(from), "{text}");
    std::fs::write(config(site), text.replace(from, to)).expect("it is written");
}

fn refused(site: &Site, words: &[&str]) -> String {
    let output = site.run(words);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn what_is_printed_makes_what_check_misses_and_nobody_else_makes_it() {
    let server = Postgres::start();
    let db = server.database();
    let site = Site::with(&head(&db), &[shared(&[])]);
    let missing = refused(&site, &["check", "--connect"]);
    assert!(missing.contains("databases.shop: ") && missing.contains("pelton db init"), "{missing}");
    assert_eq!(db.number("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'pelton%'"), 0);
    let printed = site.done(&["db", "init", "--database", "shop", "--print"]);
    db.run(&printed);
    site.done(&["check", "--connect"]);
    // Again is nothing new.
    site.done(&["db", "init", "--pipeline", "orders"]);
    let none = refused(&site, &["db", "init", "--database", "stock"]);
    assert!(none.contains("there is no database `stock`; the configuration has shop"), "{none}");
}

#[test]
fn keys_counts_and_letters_of_a_ledger_in_a_database_are_told_by_the_commands() {
    let server = Postgres::start();
    let db = server.database();
    let site = site(&db, &[("dead_letter", "database = \"shop\"")]);
    for id in ["order-1", "order-1", "order-2"] {
        site.done(&["send", "orders", "--id", id, "--body", &order(1, 0)]);
    }
    site.done(&["send", "orders", "--id", "bad", "--body", "no JSON"]);
    let (worker, ended) = site.until_empty();
    assert_eq!(taken(&worker.log).len(), 2);
    let status = Status::of(&ended.out, "orders");
    assert_eq!((status.handled, status.duplicates, status.dead_letters), (2, 1, 1));
    assert_eq!(site.status("orders"), status, "what was counted stays");
    let told = site.done(&["status"]);
    assert!(told.contains("the ledger orders in postgres "), "{told}");
    assert!(site.done(&["ledger", "show", "orders", "order-1"]).starts_with("completed at "));
    site.done(&["ledger", "forget", "orders", "order-1"]);
    site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    assert_eq!(Status::of(&site.until_empty().1.out, "orders").handled, 3);

    let letters = site.letters("orders");
    let id = letters[0]["id"].as_str().unwrap();
    assert!(id.starts_with("db-") && letters[0]["message_id"] == "bad", "{letters:?}");
    assert!(site.done(&["ledger", "show", "orders", "bad"]).contains("it is a dead letter"));
    site.done(&["dlq", "replay", "orders", "--id", id]);
    let status = Status::of(&site.until_empty().1.out, "orders");
    assert_eq!(status.dead_letters, 1, "it was handled again, and failed again");
    site.done(&["dlq", "purge", "orders", "--all"]);
    assert!(site.letters("orders").is_empty());
}

#[test]
fn letters_may_stay_in_the_data_directory_and_come_back_from_there() {
    let server = Postgres::start();
    let db = server.database();
    let site = site(&db, &[]);
    site.done(&["send", "orders", "--id", "bad", "--body", "no JSON"]);
    assert_eq!(Status::of(&site.until_empty().1.out, "orders").dead_letters, 1);
    assert_eq!(db.number("SELECT count(*) FROM pelton_letters"), 0);
    // Its row knows it as given up on: it has to be forgotten there, or it would be passed over.
    site.done(&["dlq", "replay", "orders", "--all"]);
    let (worker, ended) = site.until_empty();
    assert_eq!(Status::of(&ended.out, "orders").dead_letters, 1);
    assert!(worker.log.lines().iter().any(|line| line.says("a message is a dead letter")));
}

#[test]
fn a_pipeline_that_moves_asks_the_ledger_that_it_has_left_and_keeps_its_database() {
    let server = Postgres::start();
    let db = server.database();
    let site = Site::with(&head(&db), &[shared(&[("ledger", "")])]);
    site.done(&["db", "init", "--database", "shop"]);
    let again = |handled, duplicates| {
        site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
        let status = Status::of(&site.until_empty().1.out, "orders");
        assert_eq!((status.handled, status.duplicates), (handled, duplicates));
    };
    again(1, 0);
    rewrite(&site, "[pipelines.orders.ledger]", "[pipelines.orders.ledger]\ndatabase = \"shop\"");
    again(1, 1);
    site.done(&["send", "orders", "--id", "order-2", "--body", &order(1, 0)]);
    site.until_empty();
    // Home again: what the database has completed meanwhile is known.
    rewrite(&site, "\ndatabase = \"shop\"", "");
    site.done(&["send", "orders", "--id", "order-2", "--body", &order(1, 0)]);
    assert_eq!(Status::of(&site.until_empty().1.out, "orders").duplicates, 2);
    // Its database is needed until its keys have expired.
    let text = std::fs::read_to_string(config(&site)).unwrap();
    std::fs::write(config(&site), text.replace(&head(&db), "")).unwrap();
    for words in [&["check"][..], &["run", "--until-empty"]] {
        let told = refused(&site, words);
        assert!(
            told.contains("was in `shop`, as orders") && told.contains("pelton ledger leave"),
            "{told}"
        );
    }
    site.done(&["ledger", "leave", "orders"]);
    site.done(&["check"]);
    site.until_empty();
}

#[test]
fn state_and_messages_that_would_stay_behind_in_a_database_keep_a_pipeline_there() {
    let server = Postgres::start();
    let db = server.database();
    let away = "receipts = { type = \"kafka\", bootstrap_servers = \"127.0.0.1:1\", topic = \"t\" }";
    let grants = [("grants", "state = true"), ("grants.outbox", away)];
    let site = site(&db, &grants);
    let state = |words: &[&str]| site.done(&[&["state"], words].concat());
    site.done(&["send", "orders", "--body", &order(1, 0)]);
    site.until_empty();
    state(&["set", "orders", "k", "v"]);
    let here = "[pipelines.orders.ledger]\n";
    let there = format!("{here}database = \"shop\"");
    rewrite(&site, &there, here);
    for words in [&["check", "--connect"][..], &["run", "--until-empty"]] {
        let told = refused(&site, words);
        assert!(told.contains("pelton state export orders") && told.contains("import orders"), "{told}");
        assert!(told.contains("postgres"), "{told}");
    }
    // As it says.
    rewrite(&site, here, &there);
    let kept = site.path().join("state.jsonl");
    std::fs::write(&kept, state(&["export", "orders"])).expect("written");
    state(&["delete", "orders", "--all"]);
    rewrite(&site, &there, here);
    site.done(&["run", "--until-empty"]);
    state(&["import", "orders", "state.jsonl"]);
    assert_eq!(state(&["get", "orders", "k"]).trim(), "v");
    // Messages that nobody has sent yet keep it there too.
    let number = db.number("SELECT count(*) FROM pelton_targets");
    assert_eq!(number, 1, "its target is known there");
    db.run("INSERT INTO pelton_outbox (target, message_id, body) SELECT id, 'm', 'b' FROM pelton_targets");
    let told = refused(&site, &["run", "--until-empty"]);
    assert!(told.contains("receipts (1)") && told.contains("pelton outbox purge orders"), "{told}");
}

#[test]
fn databases_are_reloaded_and_a_password_is_read_for_each_connection() {
    let server = Postgres::start_with(Setup { scram: true, ..Setup::default() });
    let db = server.database();
    let password = format!("{}\npassword = {{ file = \"secret\" }}", head(&db));
    let site = Site::with(&password, &[shared(&[])]);
    let secret = site.path().join("secret");
    let missing = refused(&site, &["check"]);
    assert!(missing.contains("databases.shop.password: comes from "), "{missing}");
    std::fs::write(&secret, "wrong").unwrap();
    let wrong = refused(&site, &["db", "init", "--database", "shop"]);
    assert!(!wrong.contains("wrong\""), "{wrong}");
    std::fs::write(&secret, pelton_tests::postgres::PASSWORD).unwrap();
    site.done(&["db", "init", "--database", "shop"]);
    let worker = site.worker().ready();
    let handled =
        |count: u64| until("it is handled", || (site.status("orders").handled == count).then_some(()));
    site.done(&["send", "orders", "--body", &order(1, 0)]);
    handled(1);
    rewrite(&site, "[databases.shop]", "[databases.shop]\nmax_connections = 9");
    assert!(site.done(&["reload"]).contains("orders has begun anew"));
    site.done(&["send", "orders", "--body", &order(2, 0)]);
    handled(2);
    rewrite(&site, "database = \"shop\"", "database = \"books\"");
    let told = refused(&site, &["reload"]);
    assert!(told.contains("names `books`, which is no database of this file"), "{told}");
    worker.stop();
    assert_eq!(
        db.number("SELECT count(*) FROM pelton_workers WHERE ended IS NULL"),
        0,
        "all ended in order"
    );
}

#[test]
fn a_name_that_is_taken_by_another_source_is_refused() {
    let server = Postgres::start();
    let db = server.database();
    let first = site(&db, &[]);
    first.done(&["send", "orders", "--body", &order(1, 0)]);
    first.until_empty();
    let second = Site::with(&head(&db), &[shared(&[])]);
    second.done(&["send", "orders", "--body", &order(1, 0)]);
    let worker = second.worker().ready();
    let trouble = until("it says what is wrong", || {
        let status: serde_json::Value = serde_json::from_str(&second.done(&["status", "--json"])).unwrap();
        status["pipelines"]["orders"]["trouble"].as_str().map(str::to_owned)
    });
    assert!(trouble.contains("ledger.name"), "{trouble}");
    worker.stop();
    rewrite(&second, "database = \"shop\"", "database = \"shop\"\nname = \"orders-2\"");
    assert_eq!(Status::of(&second.until_empty().1.out, "orders").handled, 1);
}

/// What one worker has completed, the others know; and an operator may have it handled again from any of
/// them.
#[test]
fn a_replay_asks_the_ledger_of_the_fleet_and_may_do_all_of_it_again() {
    let server = Postgres::start();
    let db = server.database();
    let redis = Redis::start();
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"orders\", group = \"orders\", \
         body_field = \
         \"body\" }}",
        redis.url()
    );
    let entry = |number: u64| vec![("body", order(number, 0).into_bytes())];
    redis.add("orders", &(1..=20).map(entry).collect::<Vec<_>>());
    let first = site(&db, &[("", &source)]);
    assert_eq!(Status::of(&first.until_empty().1.out, "orders").handled, 20);
    let other = site(&db, &[("", &source)]);
    let replayed =
        |words: &[&str]| other.done(&[&["replay", "orders", "--from-beginning"], words].concat());
    let known = replayed(&[]);
    assert!(known.contains("replayed 20 of orders: 0 handled, 20 known to the ledger"), "{known}");
    let again = replayed(&["--redo"]);
    assert!(again.contains("replayed 20 of orders: 20 handled"), "{again}");
    // Done again is done: no row is left in work, and none is there twice.
    let rows = "SELECT count(*) FROM pelton_processed WHERE state = 'd'";
    assert_eq!((db.number(rows), db.number("SELECT count(*) FROM pelton_processed")), (20, 20));
    let known = replayed(&[]);
    assert!(known.contains("0 handled, 20 known to the ledger"), "{known}");
}
#[test]
fn what_is_skipped_is_given_up_on_in_the_ledger_of_the_fleet() {
    let server = Postgres::start();
    let db = server.database();
    let retry = "initial_interval = \"1h\"\nmax_interval = \"1h\"\nmax_attempts = 9";
    let site = site(&db, &[("retry", retry), ("dead_letter", "database = \"shop\"")]);
    let skip = |place: &str| site.done(&["skip", "orders", place, "--reason", "it is nonsense", "--yes"]);
    let send = |id: &str, failures| {
        site.done(&["send", "orders", "--id", id, "--key", "a", "--body", &order(1, failures)]);
    };
    send("first", 5);
    send("second", 0);
    let worker = site.worker().ready();
    until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
    skip("first");
    worker.log.wait("what is behind it goes on", |line| line.says(" taken"));
    until("all is settled", || (site.status("orders").left() == 0).then_some(()));
    worker.stop();
    // Without a worker the command does it.
    site.done(&["send", "orders", "--id", "third", "--body", &order(1, 0), "--delay", "1h"]);
    skip("third");
    let letters = site.letters("orders");
    let ids: Vec<&str> = letters.iter().filter_map(|letter| letter["message_id"].as_str()).collect();
    assert_eq!(ids, ["first", "third"]);
    assert!(letters.iter().all(|letter| letter["id"].as_str().is_some_and(|id| id.starts_with("db-"))));
    assert_eq!(letters[0]["attempts"], 1);
    // What is done is done.
    let done = refused(&site, &["skip", "orders", "second", "--reason", "it is nonsense", "--yes"]);
    assert!(done.contains("is completed"), "{done}");
    for id in ids {
        let told = site.done(&["ledger", "show", "orders", id]);
        assert!(told.contains("it is a dead letter"), "{id}: {told}");
    }
    let keys = "SELECT count(*) FROM pelton_processed";
    assert_eq!(db.number(keys), 3, "each is known by its own key, and no other");
    assert_eq!(site.status("orders").left(), 0, "none of them comes again");
}
