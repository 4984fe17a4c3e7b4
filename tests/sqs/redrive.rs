//! Dead letters that are left to the queue's own policy.

use crate::advice::policy;
use crate::{Shop, order, plain, taken};
use aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy;
use pelton_core::points::NAMES;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, LOGIN, Sent, Sqs};
use rustix::process::Signal;

/// A queue whose messages go to `letters` after so many receives.
fn redriven(sqs: &Sqs, kind: &str, max_receives: u32) -> (String, String) {
    let target = format!("letters{kind}");
    let letters = sqs.queue(&target, &[]);
    (sqs.queue(&format!("orders{kind}"), &[(RedrivePolicy, &policy(&target, max_receives))]), letters)
}

fn left(url: &str, attempts: u32) -> Pipeline {
    Pipeline::new("orders", pelton_tests::components::plugin("orders"))
        .with("", &crate::source(url, ""))
        .with("retry", &format!("max_attempts = {attempts}\ninitial_interval = \"20ms\""))
        .with("dead_letter", "redrive = true")
}

fn bad() -> Sent {
    Sent { body: "no order".into(), ..plain(0, 0) }
}

#[test]
fn what_is_given_up_on_is_not_handled_again_until_the_policy_has_moved_it() {
    let sqs = Sqs::start();
    let (url, letters) = redriven(&sqs, "", 6);
    let ids = sqs.send(&url, &[plain(1, 0), bad(), plain(2, 0), plain(3, 99)]);
    let shop = Shop::new(&[left(&url, 2)]);
    let (worker, _) = shop.until_empty();
    let mut all = taken(&worker.log);
    all.sort_unstable();
    assert_eq!(all, [1, 2]);
    assert_eq!((sqs.counts(&url), sqs.counts(&letters).visible), (Counts::default(), 2));
    let status = shop.status();
    let written = &status["dead_letters_written"];
    assert_eq!((&written["rejected"], &written["retries-exhausted"]), (&1.into(), &1.into()), "{status}");
    assert_eq!((&status["retries"], &status["dead_letters"]), (&1.into(), &2.into()), "{status}");
    let said = |line: &&pelton_tests::log::Line| line.says("left to the queue's redrive policy: ");
    assert_eq!(worker.log.lines().iter().filter(said).count(), 2, "each is given up on once");

    // The letters are the service's own; one that is put back is handled once more.
    let found = shop.letters();
    let of_bad = found.iter().find(|letter| letter["message_id"] == ids[1].as_str()).expect("it is there");
    let id = of_bad["id"].as_str().expect("a text");
    shop.done(&["dlq", "replay", "orders", "--id", id]);
    let (worker, _) = shop.until_empty();
    assert_eq!(worker.log.lines().iter().filter(said).count(), 1, "it is handled, and given up on again");
    assert_eq!((sqs.counts(&url), sqs.counts(&letters).visible), (Counts::default(), 2));
}

#[test]
fn what_is_given_up_on_commits_nothing_however_often_it_comes() {
    let sqs = Sqs::start();
    let (url, letters) = redriven(&sqs, "", 6);
    let deeds = |then: &str| Sent {
        body: format!(r#"{{"add":"total","send":["copies"],"then":"{then}"}}"#),
        ..plain(0, 0)
    };
    sqs.send(&url, &[deeds("ok"), deeds("reject"), deeds("retry")]);
    let pipeline = Pipeline::new("orders", pelton_tests::components::plugin("deeds"))
        .with("", &crate::source(&url, ""))
        .with("retry", "max_attempts = 2\ninitial_interval = \"20ms\"")
        .with("dead_letter", "redrive = true")
        .with("grants", "state = true")
        .with("grants.outbox", "copies = { type = \"embedded\", queue = \"copies\" }");
    let copies = Pipeline::new("copies", pelton_tests::components::plugin("chaos"));
    let shop = Shop::new(&[pipeline, copies]);
    shop.until_empty();
    assert_eq!((sqs.counts(&url), sqs.counts(&letters).visible), (Counts::default(), 2));
    assert_eq!(shop.done(&["state", "get", "orders", "total"]), "1\n");
    let all: serde_json::Value = serde_json::from_str(&shop.done(&["status", "--json"])).expect("JSON");
    // What was sent is no message of its own: a letter for each.
    assert_eq!(all["pipelines"]["copies"]["dead_letters"], 1, "{all}");
}

#[test]
fn a_policy_takes_nothing_that_stands_behind_in_the_group() {
    let sqs = Sqs::start();
    let (url, letters) = redriven(&sqs, ".fifo", 3);
    let bad = Sent { body: "no order".into(), ..order(2, "a", 0) };
    let orders: Vec<Sent> = [order(1, "a", 0), bad]
        .into_iter()
        .chain((3..=9).map(|n| order(n, "a", 0)))
        .chain((11..=14).map(|n| order(n, "b", 0)))
        .collect();
    sqs.send(&url, &orders);
    let shop = Shop::new(&[left(&url, 3)]);
    let (worker, _) = shop.until_empty();
    let (b, a): (Vec<u64>, Vec<u64>) = taken(&worker.log).into_iter().partition(|n| *n > 10);
    assert_eq!((a, b), (vec![1, 3, 4, 5, 6, 7, 8, 9], vec![11, 12, 13, 14]));
    assert_eq!((sqs.counts(&url), sqs.counts(&letters).visible), (Counts::default(), 1));
}

#[test]
fn a_queue_without_a_policy_is_a_problem() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let shop = Shop::new(&[left(&url, 2)]);
    let wanted = "the queue orders has none: what is given up on would come again until its retention ends";
    let checked = shop.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.code() == Some(78) && said.contains(wanted), "{said}");
    let worker = shop.worker();
    worker.log.wait("the start says so", |line| line.says(wanted) && line.field("level") == "ERROR");
    worker.stop();
    let listed = shop.run(&["dlq", "list", "orders"]);
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.code() == Some(1) && said.contains(wanted), "{said}");
}

#[test]
fn what_cannot_be_read_is_counted_once_until_the_policy_has_moved_it() {
    let sqs = Sqs::start();
    let (url, letters) = redriven(&sqs, "", 4);
    sqs.send(&url, &[plain(1, 0)]);
    let shop = Shop::new(&[left(&url, 2).with("dedup", "key = \"header:order\"")]);
    shop.until_empty();
    assert_eq!((sqs.counts(&url), sqs.counts(&letters).visible), (Counts::default(), 1));
    assert_eq!(shop.status()["dead_letters_written"]["invalid"], 1);
}

/// Between any two steps of a message that is given up on, and of its neighbours: each has its effect once,
/// or is given up on once, and the policy has moved it in the end.
#[test]
fn a_kill_at_any_point_loses_nothing_that_is_left_to_the_policy() {
    let sqs = Sqs::start();
    let (url, letters) = redriven(&sqs, "", 12);
    let shop = Shop::new(&[left(&url, 2)]);
    let (mut good, mut bad_ones) = (Vec::new(), 0);
    for point in NAMES {
        for n in [1, 2] {
            let first = good.len() as u64 + 1;
            let numbers = first..first + 4;
            sqs.send(&url, &numbers.clone().map(|n| plain(n, 0)).chain([bad()]).collect::<Vec<_>>());
            good.extend(numbers);
            bad_ones += 1;
            let at = format!("{point}:{n}");
            let crashing: Vec<_> = LOGIN.into_iter().chain([("PELTON_CRASH_AT", at.as_str())]).collect();
            let ended = shop.0.worker_with(&["--until-empty"], &crashing).wait();
            let killed = ended.signal == Some(Signal::KILL.as_raw());
            assert!(killed || n > 1, "the worker never came to {at}: {ended:?}");
            shop.until_empty();
            assert_eq!(sqs.counts(&url), Counts::default(), "after {at}");
            let status = shop.status();
            let counted = (&status["handled"], &status["dead_letters_written"]["rejected"]);
            assert_eq!(counted, (&good.len().into(), &bad_ones.into()), "after {at}: {status}");
            assert_eq!(sqs.counts(&letters).visible, bad_ones, "after {at}");
        }
    }
}
