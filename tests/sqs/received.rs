//! Messages that others have received, often, before a worker of ours sees them.

use crate::{Shop, order, plain, source, taken};
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sqs};

/// Receives a queue's messages so often, and lets them be seen again at once.
fn peek(sqs: &Sqs, url: &str, times: usize) {
    for _ in 0..times {
        assert!(!sqs.receive(url, 0).is_empty(), "they can be seen again at once");
    }
}

fn shop(url: &str, more: &str) -> Shop {
    let retry = format!("max_attempts = 3\ninitial_interval = \"20ms\"\n{more}");
    let pipeline =
        Pipeline::new("orders", plugin("orders")).with("", &source(url, "")).with("retry", &retry);
    Shop::new(&[pipeline])
}

fn hold(fifo: bool) {
    let sqs = Sqs::start();
    let name = if fifo { "orders.fifo" } else { "orders" };
    let url = sqs.queue(name, &[]);
    let sent = |n: u64, failures: u32| {
        if fifo { order(n, &format!("g{n}"), failures) } else { plain(n, failures) }
    };
    sqs.send(&url, &[sent(1, 0), sent(2, u32::MAX)]);
    peek(&sqs, &url, 60);
    let shop = shop(&url, "");
    let (worker, _) = shop.until_empty();
    assert_eq!(taken(&worker.log), [1], "one that can be handled is");
    let letters = shop.letters();
    assert_eq!((letters.len(), &letters[0]["cause"]), (1, &"retries-exhausted".into()), "{letters:?}");
    assert_eq!(letters[0]["attempts"], 3, "two by what others counted, and one here");

    // From so many on, that may be what kills every worker.
    let shop = self::shop(&url, "max_receives = 40");
    sqs.send(&url, &[sent(3, 0)]);
    peek(&sqs, &url, 45);
    sqs.send(&url, &[sent(4, 0)]);
    let (worker, _) = shop.until_empty();
    assert_eq!(taken(&worker.log), [4]);
    let letters = shop.letters();
    assert_eq!((letters.len(), &letters[0]["cause"]), (1, &"crash-loop".into()), "{letters:?}");
    assert!(
        letters[0]["reason"].as_str().is_some_and(|why| why.contains("`retry.max_receives`")),
        "{letters:?}"
    );
    assert_eq!(sqs.counts(&url), Counts::default());
}

#[test]
fn what_others_received_often_is_started_and_very_often_never() {
    hold(false);
}

#[test]
fn so_it_is_in_a_queue_in_order() {
    hold(true);
}
