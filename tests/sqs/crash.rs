//! Workers that are killed, handlers that take longer than a message is theirs, a service that is away.

use crate::{Shop, order, pipeline, plain, taken};
use pelton_core::retry::scatter;
use pelton_tests::components::plugin;
use pelton_tests::proxy::Proxy;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, LOGIN, Sent, Sqs};
use std::collections::{BTreeMap, BTreeSet};

/// Kills the worker in every round but the last; the orders that each worker took, in the
/// order of its log.
fn killed_again_and_again(sqs: &Sqs, url: &str, orders: impl Fn(u64) -> Sent) -> Vec<Vec<u64>> {
    let shop = Shop::new(&[pipeline(url, "")]);
    let mut seen = Vec::new();
    for round in 0..3 {
        let first = round * 200 + 1;
        sqs.send(url, &(first..first + 200).map(&orders).collect::<Vec<_>>());
        let worker = shop.worker();
        let some = scatter(round, 1) % 100 + 1;
        worker.log.wait_for("orders are taken", some as usize, |line| line.says(" taken"));
        assert!(worker.kill().signal.is_some());
        seen.push(taken(&worker.log));
    }
    let (worker, _) = shop.until_empty();
    seen.push(taken(&worker.log));
    let status = shop.status();
    assert_eq!(
        (&status["handled"], &status["dead_letters"]),
        (&600.into(), &0.into()),
        "each is completed once"
    );
    assert_eq!(sqs.counts(url), Counts::default());
    assert_eq!(seen.iter().flatten().collect::<BTreeSet<_>>().len(), 600, "orders were lost");
    seen
}

#[test]
fn a_worker_that_is_killed_again_and_again_completes_each_message_once() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    killed_again_and_again(&sqs, &url, |n| plain(n, u32::from(n % 50 == 3)));
}

#[test]
fn groups_keep_their_order_over_kills() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let seen =
        killed_again_and_again(&sqs, &url, |n| order(n, &format!("c-{}", n % 20), u32::from(n % 50 == 3)));
    // What was taken and not completed when a worker died is taken again, in its order; nothing is skipped.
    let mut furthest: BTreeMap<u64, u64> = BTreeMap::new();
    for of_worker in seen {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for number in of_worker {
            let before = last.insert(number % 20, number);
            assert!(before < Some(number), "order {number} of its group came after {before:?}");
            let furthest = furthest.entry(number % 20).or_insert(0);
            assert!(
                number <= *furthest + 20,
                "order {number} of its group came, and the last was {furthest}"
            );
            *furthest = number.max(*furthest);
        }
    }
}

#[test]
fn a_message_stays_ours_while_its_handler_takes_longer_than_its_visibility() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    sqs.send(&url, &[Sent { body: "{\"do\": \"sleep\"}".into(), ..Sent::default() }]);
    let source = format!(
        "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \
         \"2s\" }}"
    );
    let shop = Shop::new(&[Pipeline::new("orders", plugin("chaos"))
        .with("", &source)
        .with("handler", "timeout = \"7s\"")
        .with("retry", "max_attempts = 1")]);
    let worker = shop.worker().ready();
    pelton_tests::wait::until("it is received", || (sqs.counts(&url).in_flight == 1).then_some(()));
    // For three times as long as it would be ours.
    let mut looks = 0;
    while sqs.counts(&url).unsettled() == 1 {
        assert_eq!(sqs.counts(&url).visible, 0, "nobody else may have it");
        looks += 1;
    }
    assert!(looks > 0);
    worker.stop();
    let letters = shop.letters();
    assert_eq!(
        (letters.len(), &letters[0]["failure"], &letters[0]["attempts"]),
        (1, &"timeout".into(), &1.into())
    );
    assert_eq!(shop.status()["duplicates"], 0);
}

#[test]
fn a_service_that_is_cut_off_is_waited_for_and_status_says_so() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let way = Proxy::plain(&sqs.address);
    let shop = Shop::new(&[pipeline(&url, &format!(", endpoint_url = \"http://{}\"", way.address))]);
    let worker = shop.0.worker_with(&[], &LOGIN).ready();
    sqs.send(&url, &(1..=50).map(|n| plain(n, 0)).collect::<Vec<_>>());
    worker.log.wait_for("orders are taken", 1, |line| line.says(" taken"));
    way.cut();
    sqs.send(&url, &(51..=100).map(|n| plain(n, 0)).collect::<Vec<_>>());
    pelton_tests::wait::until("the worker says that it is cut off", || {
        shop.status()["trouble"]
            .as_str()
            .is_some_and(|words| words.contains("Check `queue_url`"))
            .then_some(())
    });
    way.mend();
    pelton_tests::wait::until("all are handled", || (shop.status()["handled"] == 100).then_some(()));
    worker.stop();
    assert_eq!(shop.status()["handled"], 100);
}
