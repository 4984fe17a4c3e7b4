//! A fleet's ledger in a DynamoDB table, through the commands and two workers.

use crate::{order, taken};
use pelton_tests::components::plugin;
use pelton_tests::dynalite::Dynalite;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site, Status};
use pelton_tests::sqs::LOGIN;
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use std::collections::BTreeSet;
use std::process::Output;

/// A site whose pipeline `orders` has its ledger in the table `pelton`.
fn site(server: &Dynalite, sections: &[(&'static str, &str)]) -> Site {
    let ledger = format!(
        "claim_timeout = \"6s\"\ndynamodb = {{ table = \"pelton\", endpoint_url = {:?} }}",
        server.url()
    );
    let pipeline = Pipeline::new("orders", plugin("orders"))
        .with("handler", "timeout = \"5s\"")
        .with("retry", "max_attempts = 2\ninitial_interval = \"20ms\"")
        .with("ledger", &ledger);
    Site::new(&[sections.iter().fold(pipeline, |pipeline, (section, lines)| pipeline.with(section, lines))])
}

fn run(site: &Site, words: &[&str]) -> Output {
    site.command(words).envs(LOGIN).output().expect("pelton can be started")
}

fn done(site: &Site, words: &[&str]) -> String {
    let output = run(site, words);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn refused(site: &Site, words: &[&str]) -> String {
    let output = run(site, words);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn until_empty(site: &Site) -> Worker {
    let worker = site.worker_with(&["--until-empty"], &LOGIN);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}{}", worker.log.tail());
    worker
}

#[test]
fn a_table_is_made_checked_and_asked_by_the_commands() {
    let server = Dynalite::start();
    let site = site(&server, &[]);
    let missing = refused(&site, &["check", "--connect"]);
    assert!(missing.contains("there is no table pelton: make it with `pelton db init`"), "{missing}");
    let printed = done(&site, &["db", "init", "--pipeline", "orders", "--print"]);
    assert!(printed.contains("aws dynamodb create-table --endpoint-url "), "{printed}");
    assert!(done(&site, &["db", "init", "--pipeline", "orders"]).contains("made the table pelton"));
    done(&site, &["db", "init", "--pipeline", "orders"]);
    done(&site, &["check", "--connect"]);
    for id in ["order-1", "order-1", "order-2"] {
        done(&site, &["send", "orders", "--id", id, "--body", &order(1, 0)]);
    }
    done(&site, &["send", "orders", "--id", "bad", "--body", "no JSON"]);
    assert_eq!(taken(&until_empty(&site).log).len(), 2);
    assert!(done(&site, &["ledger", "show", "orders", "order-1"]).starts_with("completed at "));
    assert!(done(&site, &["ledger", "show", "orders", "bad"]).contains("it is a dead letter"));
    done(&site, &["ledger", "forget", "orders", "order-1"]);
    done(&site, &["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    assert_eq!(taken(&until_empty(&site).log), ["order-1"]);
    assert!(done(&site, &["status"]).contains("dynamodb table pelton at http://127.0.0.1:"));
}

#[test]
fn a_table_that_is_away_costs_no_attempt() {
    let server = Dynalite::start();
    let site = site(&server, &[]);
    done(&site, &["db", "init", "--pipeline", "orders"]);
    server.kill();
    let worker = site.worker_with(&[], &LOGIN);
    done(&site, &["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    let trouble = || done(&site, &["status"]).contains("it is asked again").then_some(());
    until("status says what troubles the ledger", trouble);
    assert!(taken(&worker.log).is_empty());
    // Its tables were in memory.
    server.restart();
    done(&site, &["db", "init", "--pipeline", "orders"]);
    until("the order is taken", || (taken(&worker.log).len() == 1).then_some(()));
    until("it is completed", || {
        let status = Status::of(&done(&site, &["status", "--json"]), "orders");
        assert_eq!((status.retries, status.dead_letters), (0, 0));
        (status.handled == 1).then_some(())
    });
    worker.stop();
}

#[test]
fn two_workers_with_one_table_take_each_order_once() {
    let (server, redis) = (Dynalite::start(), Redis::start());
    let source =
        format!("type = \"redis-stream\"\nurl = {:?}\nstream = \"orders\"\ngroup = \"shop\"", redis.url());
    let sites = [site(&server, &[("source", &source)]), site(&server, &[("source", &source)])];
    done(&sites[0], &["db", "init", "--pipeline", "orders"]);
    let bodies: Vec<Vec<u8>> = (0..60).map(|number| order(number, 0).into_bytes()).collect();
    let entries: Vec<_> = bodies.iter().map(|body| vec![("body", body.clone())]).collect();
    redis.add("orders", &entries);
    let workers = sites.each_ref().map(|site| site.worker_with(&[], &LOGIN));
    let all = || workers.iter().flat_map(|worker| taken(&worker.log)).collect::<Vec<_>>();
    until("all are taken", || (all().len() >= 60).then_some(()));
    // The group begins again, as after an offset that was lost: each entry comes to one of them once more.
    redis.run::<String>("XGROUP", &["SETID", "orders", "shop", "0"]);
    until("the stream is read once more", || {
        let duplicates = |site| Status::of(&done(site, &["status", "--json"]), "orders").duplicates;
        (sites.iter().map(duplicates).sum::<u64>() >= 60).then_some(())
    });
    let taken = all();
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (60, 60), "each once");
    workers.iter().for_each(Worker::stop);
}
