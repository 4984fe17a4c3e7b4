//! Every request to SQS is paid for: how many are made.

use crate::{Shop, plain};
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent};
use pelton_tests::sqs_stub::Operation::{Attributes, Change, ChangeBatch, Delete, DeleteBatch, Receive};
use pelton_tests::sqs_stub::Stub;
use pelton_tests::wait::until;
use std::time::Duration;

/// Settings as they are when nothing is said.
fn shop(stub: &Stub, wait_time: &str) -> Shop {
    let url = stub.queue("orders");
    let source =
        format!("source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"{wait_time}\" }}");
    Shop::new(&[Pipeline::new("orders", plugin("orders")).with("", &source)])
}

/// Sends ten messages a second, so many at once; the requests that were made for each round of them, once the
/// worker knows how fast its handler is: the median, since a machine with other work splits some round.
fn requests_for(at_once: u64) -> usize {
    const MESSAGES: u64 = 60;
    /// While it does not, it holds no more than it runs at once.
    const FIRST: u64 = 60;
    let stub = Stub::start();
    let shop = shop(&stub, "20s");
    let worker = shop.worker().ready();
    until("it waits for messages", || (stub.polls() == 1).then_some(()));
    let made = || {
        // Those that wait have brought nothing yet.
        stub.count(&[Receive, Delete, DeleteBatch, Change, ChangeBatch, Attributes]) - stub.polls()
    };
    let mut rounds = Vec::new();
    for first in (0..FIRST + MESSAGES).step_by(at_once as usize) {
        let before = made();
        let some: Vec<Sent> = (first..first + at_once).map(|n| plain(n, 0)).collect();
        stub.send("orders", &some);
        // The pattern itself; what follows waits for facts.
        std::thread::park_timeout(Duration::from_millis(100) * at_once as u32);
        until("they are done", || (stub.counts("orders") == Counts::default()).then_some(()));
        if first >= FIRST {
            rounds.push(made() - before);
        }
    }
    worker.stop();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

/// A long poll is answered with the first message that comes, so one that comes alone takes one receive; and
/// one delete, since to wait for the next one would keep it back from a crash for longer than it ran. That is
/// the least for messages that come one by one.
#[test]
fn messages_that_come_one_by_one_cost_a_receive_and_a_delete_each() {
    assert_eq!(requests_for(1), 2);
}

/// Ten that come together take one receive and one batch of deletes: a fifth of a request each.
#[test]
fn messages_that_come_in_tens_cost_a_receive_and_a_delete_for_ten() {
    assert_eq!(requests_for(10), 2);
}

#[test]
fn an_idle_pipeline_makes_one_long_poll_at_a_time() {
    let stub = Stub::start();
    let shop = shop(&stub, "1s");
    let worker = shop.worker();
    // A backlog has several at once.
    stub.send("orders", &(0..2_000).map(|n| plain(n, 0)).collect::<Vec<_>>());
    until("the backlog is worked off", || (stub.counts("orders") == Counts::default()).then_some(()));
    until("what waited then has its answer", || (stub.polls() <= 1).then_some(()));
    let (_, before) = (stub.most_polls(), stub.count(&[Receive]));
    until("it polls on", || (stub.count(&[Receive]) >= before + 4).then_some(()));
    assert_eq!(stub.most_polls(), 1);
    assert_eq!(stub.count(&[Change, ChangeBatch]), 0, "and nothing else");
    assert_eq!(stub.count(&[Attributes]), 1, "at the start, for what is to be warned of");
    worker.stop();
}
