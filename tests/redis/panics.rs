//! A task that panics ends its own pipeline, and loses nothing.

use crate::{GROUP, STREAM, add, body, list, stream};
use pelton_tests::components::plugin;
use pelton_tests::panics::{OTHER, ends_alone, other};
use pelton_tests::redis::Redis;
use pelton_tests::site::Site;

#[test]
fn a_panic_of_a_task_ends_its_pipeline_and_not_the_other() {
    let redis = Redis::start();
    let site =
        Site::with("shutdown_timeout = \"10m\"", &[stream(&redis.url(), ""), other(plugin("orders"))]);
    let mut sent = 0;
    for (point, place) in [
        ("redis-read:3", "at the task that reads a stream"),
        ("redis-entry:2", "at orders/"),
        ("redis-settle:1", "at the task that acknowledges"),
        ("redis-chores:1", "at the task that looks after a stream"),
    ] {
        let worker = site.worker_with(&[], &[("PELTON_PANIC_AT", point)]).ready();
        add(&redis, sent + 1..=sent + 10);
        sent += 10;
        ends_alone(&worker, &site, &[], place, |pipeline| {
            assert_eq!(pipeline, OTHER);
            site.send_lines(pipeline, &[], &[String::from_utf8_lossy(&body(1, "c", 0)).into_owned()]);
        });
    }
    site.until_empty();
    assert_eq!(redis.all_pending(STREAM, GROUP), 0);
    assert_eq!(crate::status(&site)["handled"], sent, "each is completed once");
}

#[test]
fn a_list_whose_reader_panics_keeps_what_it_had() {
    let redis = Redis::start();
    let site = Site::with("shutdown_timeout = \"10m\"", &[list(&redis.url(), ""), other(plugin("orders"))]);
    let worker = site.worker_with(&[], &[("PELTON_PANIC_AT", "redis-entry:3")]).ready();
    redis.push("orders", &(1..=10).map(|n| body(n, "c", 0)).collect::<Vec<_>>());
    ends_alone(&worker, &site, &[], "at orders, item", |pipeline| {
        site.send_lines(pipeline, &[], &[String::from_utf8_lossy(&body(1, "c", 0)).into_owned()]);
    });
    site.until_empty();
    assert_eq!(crate::status(&site)["handled"], 10, "each is completed once");
}

/// A connection of a client, for one: whoever uses it is told that it broke.
#[test]
fn a_panic_of_a_task_that_a_library_has_begun_ends_nothing() {
    let redis = Redis::start();
    let site = Site::new(&[stream(&redis.url(), "")]);
    add(&redis, 1..=10);
    let env = [("PELTON_LIBRARY_PANIC_AT", "redis-read:1,redis-settle:1")];
    let worker = site.worker_with(&["--until-empty"], &env);
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}{}", worker.log.tail());
    let said = |line: &&pelton_tests::log::Line| line.says("a task of a library has panicked at");
    assert_eq!(worker.log.lines().iter().filter(said).count(), 2);
    assert_eq!(crate::status(&site)["handled"], 10);
}
