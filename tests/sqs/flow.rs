//! A breaker on a real queue: while what is downstream is away nothing is received, what was goes back at
//! once, and no message uses its attempts up.

use crate::{Shop, source};
use pelton_tests::components::plugin;
use pelton_tests::payment_gateway::{Gateway, Trouble};
use pelton_tests::payments::{grants, order_of};
use pelton_tests::site::Pipeline;
use pelton_tests::sqs::{Counts, Sent, Sqs};
use pelton_tests::wait::until;

const COUNT: u64 = 40;
const RETRY: &str = "max_attempts = 3\ninitial_interval = \"20ms\"\nmax_interval = \"50ms\"";

fn flow(open_for: &str) -> String {
    format!("circuit_breaker = {{ failure_rate = 0.5, minimum = 4, open_for = \"{open_for}\" }}")
}

#[test]
fn while_a_breaker_is_open_all_is_back_in_the_queue_and_no_attempts_are_used() {
    let (sqs, gateway) =
        (Sqs::start(), Gateway::start("127.0.0.1:0", Trouble::default()).expect("it listens"));
    gateway.down(true);
    let queue_url = sqs.queue("payments", &[]);
    let body = |n| Sent { body: order_of(n, &format!("c{n}")), ..Sent::default() };
    sqs.send(&queue_url, &(1..=COUNT).map(body).collect::<Vec<_>>());
    // What goes back does so at once, or not before the test is over.
    let source = source(&queue_url, "").replace("\"5s\"", "\"10m\"");
    let pipeline = Pipeline::new("orders", plugin("payments"))
        .with("", &source)
        .with("dedup", "key = \"json:/id\"")
        .with("retry", RETRY)
        .with("grants", &grants(&gateway))
        .with("flow", &flow("1h"));
    let shop = Shop::new(&[pipeline]);
    let worker = shop.worker();
    worker.log.wait("it opens", |line| line.says("the circuit breaker is open"));
    let all = Counts { visible: COUNT, ..Counts::default() };
    until("all is in the queue", || (sqs.counts(&queue_url) == all).then_some(()));
    let asked = gateway.books().requests;
    let stands = shop.status();
    assert_eq!((&stands["flow"]["breaker"], &stands["ready"]), (&"open".into(), &true.into()), "{stands}");
    assert!(asked < COUNT, "{asked} requests until it was open");
    // What comes now is not received either.
    sqs.send(&queue_url, &[body(COUNT + 1)]);
    let receives =
        |stands: &serde_json::Value| stands["counted"]["receive_requests"].as_u64().expect("it is counted");
    until("a while has passed", || {
        let now = shop.status();
        assert_eq!((receives(&now), gateway.books().requests), (receives(&stands), asked));
        (sqs.counts(&queue_url).visible == COUNT + 1).then_some(())
    });
    // From now on it tries again and again, more often than a message has attempts.
    let file = shop.0.path().join("pelton.toml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    std::fs::write(&file, text.replace("\"1h\"", "\"200ms\"")).expect("it is written");
    shop.done(&["reload"]);
    worker.log.wait_for("it opens again and again", 6, |line| line.says("the circuit breaker is open"));
    assert_eq!(shop.letters().len(), 0, "three attempts are over in a tenth of a second");
    gateway.down(false);
    until("all are handled", || (shop.status()["handled"] == COUNT + 1).then_some(()));
    worker.log.wait("it closes", |line| line.says("the circuit breaker is closed"));
    until("the queue is empty", || (sqs.counts(&queue_url) == Counts::default()).then_some(()));
    assert_eq!((shop.letters().len(), shop.status()["flow"]["breaker"].as_str()), (0, Some("closed")));
    let books = gateway.books();
    assert_eq!((books.orders(), books.refused), ((1..=COUNT + 1).collect(), 0), "each is charged once");
    worker.stop();
}
