//! A message that nobody can pass is given up on by hand.

use crate::{order, orders, taken};
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::process::Output;

const REASON: &str = "the producer wrote nonsense";

fn skip(site: &Site, place: &str) -> Output {
    site.run(&["skip", "orders", place, "--reason", REASON, "--yes"])
}

fn refused(site: &Site, words: &[&str], code: i32) -> String {
    let output = site.run(words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

#[test]
fn what_is_skipped_is_a_letter_and_what_waited_for_it_goes_on() {
    let site = orders(&[("retry", "initial_interval = \"1h\"\nmax_interval = \"1h\"\nmax_attempts = 9")]);
    site.send_lines("orders", &["--key", "a"], &[order(1, 5), order(2, 0)]);
    site.send_lines("orders", &[], &[order(3, 0)]);
    let worker = site.worker().ready();
    worker.log.wait("another is taken", |line| line.says(" taken"));
    until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
    let output = skip(&site, "orders/1");
    assert!(output.status.success(), "{output:?}");
    worker.log.wait_for("what is behind it goes on", 2, |line| line.says(" taken"));
    let letters = site.letters("orders");
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((&letter["message_id"], &letter["reason"]), (&"orders/1".into(), &REASON.into()));
    assert_eq!((&letter["cause"], &letter["failure"]), (&"rejected".into(), &"skipped".into()));
    assert_eq!(letter["attempts"], 1);
    assert!(letter["body"].as_str().is_some_and(|body| body.contains("gateway_down_for")), "{letter}");
    assert!(String::from_utf8_lossy(&skip(&site, "orders/1").stderr).contains("no message orders/1"));
    until("it is completed", || (site.status("orders").left() == 0).then_some(()));
    assert!(String::from_utf8_lossy(&skip(&site, "orders/2").stderr).contains("is completed"));
    worker.stop();
    assert_eq!(taken(&worker.log), ["orders/3", "orders/2"]);
    assert_eq!(site.status("orders").left(), 0);
}

#[test]
fn without_a_worker_the_command_does_it() {
    let site = orders(&[]);
    site.done(&["send", "orders", "--id", "mine", "--key", "a", "--body", "x", "--delay", "1h"]);
    site.send_lines("orders", &["--key", "a"], &[order(1, 0)]);
    assert!(skip(&site, "mine").status.success());
    assert_eq!(site.letters("orders")[0]["message_id"], "mine");
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), ["orders/2"]);
    // It comes back as any letter does.
    site.done(&["dlq", "replay", "orders", "--all"]);
    assert_eq!(site.status("orders").left(), 1);
}

/// The start that died with its worker counts as well.
#[test]
fn a_letter_says_how_often_its_message_was_started_before() {
    let slow = Pipeline::new("orders", plugin("chaos"))
        .with("retry", "initial_interval = \"1ms\"\nmax_interval = \"1ms\"\nmax_attempts = 9")
        .with("dedup", "key = \"body\"");
    let site = Site::new(&[slow]);
    site.done(&["send", "orders", "--id", "mine", "--body", r#"{"do": "sleep"}"#]);
    for _ in 0..2 {
        let worker = site.worker().ready();
        until("it runs", || (site.status("orders").in_flight == 1).then_some(()));
        assert_eq!(worker.kill().signal, Some(9));
    }
    assert!(skip(&site, "mine").status.success());
    assert_eq!(site.letters("orders")[0]["attempts"], 2);
}

#[test]
fn what_is_in_work_is_left_alone_and_nobody_is_taken_by_surprise() {
    let pipeline = Pipeline::new("orders", plugin("chaos")).with("handler", "timeout = \"60s\"");
    let site = Site::new(&[pipeline]);
    site.done(&["send", "orders", "--id", "slow", "--body", r#"{"do": "sleep"}"#]);
    let words = ["skip", "orders", "slow", "--reason", REASON];
    assert!(refused(&site, &words, 64).contains("--yes"));
    assert!(
        refused(&site, &["skip", "orders", "slow", "--reason", " ", "--yes"], 64)
            .contains("a line of text")
    );
    assert!(
        refused(&site, &["skip", "orders", "slow", "--reason", "a\nb", "--yes"], 64)
            .contains("a line of text")
    );
    assert!(
        refused(&site, &["skip", "orders", "", "--reason", "x", "--yes"], 64).contains("PLACE is empty")
    );
    assert!(
        refused(&site, &["skip", "none", "slow", "--reason", "x", "--yes"], 64)
            .contains("no pipeline `none`")
    );
    let worker = site.worker().ready();
    let yes = [&words[..], &["--yes"]].concat();
    until("it runs", || refused(&site, &yes, 1).contains("slow runs: it is left alone").then_some(()));
    assert!(
        refused(&site, &["skip", "orders", "other", "--reason", "x", "--yes"], 1)
            .contains("no message other")
    );
    assert_eq!(site.letters("orders").len(), 0);
    assert_eq!(worker.kill().signal, Some(9));
    assert_eq!(site.status("orders").left(), 1);
}
