//! Faults 9 and 10: a service that comes and goes, that is slow, that is silent.

use crate::{Shop, order, pipeline, plain, taken};
use pelton_tests::components::plugin;
use pelton_tests::proxy::Proxy;
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent, Sqs};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use std::time::Duration;

/// A service, the way to it, and a shop at the end of that.
struct Behind {
    sqs: Sqs,
    url: String,
    way: Proxy,
    shop: Shop,
}

impl Behind {
    fn new(visibility: &str) -> Self {
        let sqs = Sqs::start();
        let url = sqs.queue("orders", &[]);
        let way = Proxy::plain(&sqs.address);
        let source = format!(
            "source = {{ type = \"sqs\", queue_url = \"{url}\", wait_time = \"1s\", visibility_timeout = \
             \"{visibility}\", \
             endpoint_url = \"http://{}\" }}",
            way.address
        );
        let shop = Shop::new(&[Pipeline::new("orders", plugin("orders"))
            .with("", &source)
            .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")]);
        Self { sqs, url, way, shop }
    }

    fn send(&self, numbers: std::ops::Range<u64>) {
        let orders: Vec<Sent> = numbers.map(|n| plain(n, u32::from(n % 50 == 9))).collect();
        self.sqs.send(&self.url, &orders);
    }

    fn has_trouble(&self) -> Option<()> {
        self.shop.status()["trouble"].is_string().then_some(())
    }

    /// The books: each effect once, and nothing is left.
    fn balance(&self, worker: &Worker, count: u64) {
        until("all are settled", || (self.sqs.counts(&self.url) == Counts::default()).then_some(()));
        worker.stop();
        let status = self.shop.status();
        assert_eq!((&status["handled"], &status["dead_letters"]), (&count.into(), &0.into()), "{status}");
        let mut all = taken(&worker.log);
        all.sort_unstable();
        assert_eq!(all, (1..=count).collect::<Vec<_>>(), "an effect came twice, or not at all");
    }
}

#[test]
fn a_service_that_comes_and_goes_loses_nothing() {
    let behind = Behind::new("5s");
    let worker = behind.shop.worker();
    for round in 0..3u64 {
        behind.send(round * 100 + 1..(round + 1) * 100 + 1);
        let some = round as usize * 100 + 20;
        worker.log.wait_for("some are taken", some, |line| line.says(" taken"));
        behind.way.cut();
        until("the worker notices", || behind.has_trouble());
        behind.way.mend();
        until("it is back", || behind.has_trouble().is_none().then_some(()));
    }
    behind.balance(&worker, 300);
}

#[test]
fn a_slow_service_that_stalls_and_lets_connections_hang_repeats_nothing() {
    let behind = Behind::new("20s");
    let worker = behind.shop.worker();
    behind.way.delay(Duration::from_millis(250));
    behind.send(1..201);
    worker.log.wait_for("half is taken", 100, |line| line.says(" taken"));
    behind.send(201..401);
    worker.log.wait_for("more are taken", 220, |line| line.says(" taken"));
    behind.way.delay(Duration::ZERO);

    behind.way.stall();
    behind.send(401..501);
    // This is the fault: five seconds without a word.
    std::thread::park_timeout(Duration::from_secs(5));
    behind.way.flow();
    worker.log.wait_for("it goes on", 450, |line| line.says(" taken"));

    assert_eq!(behind.shop.status()["duplicates"], 0, "every lease was kept");

    // What is deleted on such a connection may come again, and is known then.
    behind.way.halve();
    behind.send(501..601);
    behind.balance(&worker, 600);
}

/// Fault 25: no message is deleted before its letter is durable, also when the worker dies meanwhile.
#[test]
fn while_the_queue_of_letters_is_away_their_messages_stay_and_the_others_go_on() {
    let sqs = Sqs::start();
    let (url, target) = (sqs.queue("orders.fifo", &[]), sqs.queue("letters.fifo", &[]));
    let way = Proxy::plain(&sqs.address);
    let poison = |n: u64| Sent { body: "no order".into(), ..order(n, &format!("g-{n}"), 0) };
    let one = |n: u64| if n.is_multiple_of(10) { poison(n) } else { order(n, &format!("g-{n}"), 0) };
    sqs.send(&url, &(1..=200).map(one).collect::<Vec<_>>());
    let through = target.replace(&sqs.address, &way.address);
    assert_ne!(through, target, "letters go through the proxy");
    let shop = Shop::new(&[pipeline(&url, "").with("dead_letter", &format!("queue_url = \"{through}\""))]);
    way.cut();
    let worker = shop.worker();
    worker.log.wait_for("the others are done", 180, |line| line.says(" taken"));
    worker.log.wait("a letter was tried", |line| line.says("a dead letter could not be written"));
    until("they are deleted", || (sqs.counts(&url).unsettled() == 20).then_some(()));
    assert_eq!(sqs.counts(&target).unsettled(), 0);
    assert!(worker.kill().signal.is_some());
    way.mend();
    let (last, _) = shop.until_empty();
    assert_eq!((sqs.counts(&url), sqs.counts(&target).unsettled()), (Counts::default(), 20));
    assert_eq!((taken(&worker.log).len(), taken(&last.log).len()), (180, 0));
}
