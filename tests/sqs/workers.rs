//! Faults 2 and 15: workers that die and that stand still for longer than a message is theirs. Each has a
//! data directory of its own, so what one has begun may be begun by another too; everything else comes
//! once.

use crate::{Shop, number, order, plain, taken};
use pelton_core::retry::scatter;
use pelton_tests::components::plugin;
use pelton_tests::log::Line;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent, Sqs};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rustix::process::Signal;
use std::collections::BTreeMap;

/// What one worker may hold, and so may have begun when it dies or stands still.
const HELD: usize = 40;

fn shop(url: &str, visibility: &str) -> Shop {
    let source = format!(
        "max_in_flight = {HELD}\nsource = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", \
         visibility_timeout = \"{visibility}\" }}"
    );
    Shop::new(&[Pipeline::new("orders", plugin("orders"))
        .with("", &source)
        .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")])
}

/// How often each order was taken, over all workers; and that none took one twice.
fn count(workers: &[&Worker]) -> BTreeMap<u64, u32> {
    let mut all = BTreeMap::new();
    for worker in workers {
        let taken = taken(&worker.log);
        let mut own = taken.clone();
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), taken.len(), "one worker took an order twice");
        own.into_iter().for_each(|n| *all.entry(n).or_default() += 1);
    }
    all
}

fn twice(counts: &BTreeMap<u64, u32>) -> usize {
    counts.values().filter(|times| **times > 1).count()
}

#[test]
fn three_workers_of_which_one_dies_and_one_stands_still_lose_nothing() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let shops: Vec<Shop> = (0..3).map(|_| shop(&url, "3s")).collect();
    let workers: Vec<Worker> = shops.iter().map(Shop::worker).collect();
    let orders: Vec<Sent> = (1..=2_000).map(|n| plain(n, u32::from(n % 97 == 5))).collect();
    sqs.send(&url, &orders[..1_000]);
    for worker in &workers {
        worker.log.wait_for("it takes orders", 20, |line| line.says(" taken"));
    }
    let (sleeper, victim, other) = (&workers[0], &workers[1], &workers[2]);
    assert!(sleeper.signal(Signal::STOP));
    assert!(victim.kill().signal.is_some());
    sqs.send(&url, &orders[1_000..]);
    until("the last one has done all", || (sqs.counts(&url) == Counts::default()).then_some(()));
    assert!(sleeper.signal(Signal::CONT));
    // It is well, and knows what it has lost.
    sqs.send(&url, &[plain(2_001, 0)]);
    until("that is done too", || (sqs.counts(&url) == Counts::default()).then_some(()));
    sleeper.stop();
    other.stop();
    let counts = count(&[sleeper, victim, other]);
    assert_eq!(counts.len(), 2_001, "orders were lost");
    assert!(twice(&counts) <= 2 * HELD, "{} were taken by two", twice(&counts));
}

#[test]
fn a_worker_that_stands_still_past_the_visibility_does_nothing_twice() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    let shop = shop(&url, "1s");
    sqs.send(&url, &(1..=1_000).map(|n| plain(n, u32::from(n % 50 == 9))).collect::<Vec<_>>());
    let worker = shop.worker();
    for round in 1..=3usize {
        let some = (round - 1) * 150 + 20;
        worker.log.wait_for("it takes orders", some, |line| line.says(" taken"));
        assert!(worker.signal(Signal::STOP));
        until("what it held is everybody's again", || (sqs.counts(&url).in_flight == 0).then_some(()));
        assert!(worker.signal(Signal::CONT));
    }
    until("all are settled", || (sqs.counts(&url) == Counts::default()).then_some(()));
    worker.stop();
    let counts = count(&[&worker]);
    assert_eq!((counts.len(), shop.status()["handled"].as_u64()), (1_000, Some(1_000)));
}

/// The handler takes three times as long as the message is ours, and its extensions do not get out.
#[test]
fn a_handler_that_loses_its_message_is_not_run_beside_itself() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    sqs.send(&url, &[Sent { body: "{\"do\": \"sleep\"}".into(), ..Sent::default() }]);
    let source = format!(
        "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \
         \"1s\" }}"
    );
    let shop = Shop::new(&[Pipeline::new("orders", plugin("chaos"))
        .with("", &source)
        .with("handler", "timeout = \"6s\"")
        .with("retry", "max_attempts = 1")]);
    let worker = shop.worker();
    for _ in 0..2 {
        until("it is received", || (sqs.counts(&url).in_flight == 1).then_some(()));
        assert!(worker.signal(Signal::STOP));
        until("it is everybody's again", || (sqs.counts(&url).visible == 1).then_some(()));
        assert!(worker.signal(Signal::CONT));
    }
    until("it is settled", || (sqs.counts(&url) == Counts::default()).then_some(()));
    worker.stop();
    let letters = shop.letters();
    assert_eq!(
        (letters.len(), &letters[0]["attempts"], &letters[0]["failure"]),
        (1, &1.into(), &"timeout".into())
    );
}

const GROUPS: u64 = 50;
const ORDERS: u64 = 5_000;

#[test]
fn fifty_groups_keep_their_order_over_failures_kills_and_two_workers() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders.fifo", &[]);
    let one = |n: u64| order(n, &format!("g-{}", n % GROUPS), u32::from(n % 211 == 7));
    sqs.send(&url, &(0..ORDERS / 2).map(one).collect::<Vec<_>>());
    let shops: Vec<Shop> = (0..2).map(|_| shop(&url, "3s")).collect();
    let steady = shops[0].worker();
    let mut killed = Vec::new();
    for round in 0..2 {
        let victim = shops[1].worker();
        let some = scatter(round, 1) % 200 + 50;
        victim.log.wait_for("it takes orders", some as usize, |line| line.says(" taken"));
        assert!(victim.kill().signal.is_some());
        killed.push(victim);
    }
    let last = shops[1].worker();
    sqs.send(&url, &(ORDERS / 2..ORDERS).map(one).collect::<Vec<_>>());
    last.log.wait_for("it takes orders", 100, |line| line.says(" taken"));
    until("all are settled", || (sqs.counts(&url) == Counts::default()).then_some(()));
    steady.stop();
    last.stop();
    let workers: Vec<&Worker> = killed.iter().chain([&steady, &last]).collect();
    let repeated = in_order(&workers);
    assert!(repeated <= 2 * HELD, "{repeated} were taken again");
}

/// Each group's orders took effect in their order and none was left out: whoever comes again was there
/// before. How many came again.
fn in_order(workers: &[&Worker]) -> usize {
    let mut lines: Vec<Line> = workers.iter().flat_map(|worker| worker.log.lines()).collect();
    lines.retain(|line| line.says(" taken"));
    lines.sort_by(|a, b| a.field("timestamp").cmp(b.field("timestamp")));
    let mut next: BTreeMap<u64, u64> = (0..GROUPS).map(|group| (group, group)).collect();
    let mut repeated = 0;
    for line in &lines {
        let number = number(line);
        let due = next.get_mut(&(number % GROUPS)).expect("there are so many groups");
        assert!(number <= *due, "order {number} of its group came before {due}");
        if number == *due {
            *due += GROUPS;
        } else {
            repeated += 1;
        }
    }
    assert!(next.values().all(|due| *due >= ORDERS), "orders were lost: {next:?}");
    repeated
}

/// The queue gives up on what was received once and came back: nothing is lost, and nothing is done twice.
#[test]
fn a_queue_that_gives_up_after_one_receive_has_what_was_not_handled() {
    use aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy;
    let sqs = Sqs::start();
    let given_up = sqs.queue("given-up", &[]);
    let arn = "arn:aws:sqs:us-east-1:000000000000:given-up";
    let policy = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":\"1\"}}");
    let url = sqs.queue("orders", &[(RedrivePolicy, &policy)]);
    sqs.send(&url, &(1..=200).map(|n| plain(n, u32::from(n % 10 == 0))).collect::<Vec<_>>());
    let shop = shop(&url, "5s");
    let (worker, _) = shop.until_empty();
    let counts = count(&[&worker]);
    let left = sqs.counts(&given_up).unsettled();
    assert_eq!((counts.len() as u64 + left, sqs.counts(&url)), (200, Counts::default()));
    assert!(left >= 20, "those that failed once: {left}");
}
