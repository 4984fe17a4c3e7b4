//! How much waits in a queue: what may be received, what somebody holds, and what was sent with a delay.

use crate::plain;
use pelton_core::ports::{Depth, Settle, Source};
use pelton_sqs::{Connection, SqsOptions, SqsSource};
use pelton_tests::sqs::{Sent, Sqs, client};
use pelton_tests::wait::until_it;
use std::time::Duration;

async fn comes_to(source: &SqsSource, wanted: u64) -> Depth {
    let wanted = async || source.depth().await.ok().filter(|depth| depth.unsettled == wanted);
    until_it("as much waits", wanted).await
}

#[test]
fn what_is_delayed_and_what_others_hold_is_left() {
    let sqs = Sqs::start();
    let queue_url = sqs.queue("orders", &[]);
    let send = |numbers: std::ops::Range<u64>, delay_s| {
        let all: Vec<Sent> = numbers.map(|n| Sent { delay_s, ..plain(n, 0) }).collect();
        sqs.send(&queue_url, &all);
    };
    send(0..3, 0);
    // Somebody else has them.
    let others = sqs.receive(&queue_url, 600);
    assert_eq!(others.len(), 3);
    send(3..5, 600);
    let options = SqsOptions {
        pipeline: "orders".into(),
        queue_url: queue_url.clone(),
        wait: Duration::from_secs(1),
        visibility: Duration::from_secs(60),
        at_least: 100,
        at_most: 100,
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
    let connection = Connection::with(client(&sqs.address));
    let source = runtime.block_on(async { SqsSource::open(options, connection) });
    let depth = |wanted| runtime.block_on(comes_to(&source, wanted));
    assert_eq!(depth(5).oldest_at_ms, None, "what others hold is not known here");
    send(5..9, 0);
    depth(9);
    let mut held = Vec::new();
    while held.len() < 4 {
        held.extend(runtime.block_on(source.receive(4, 1 << 20)).expect("it is open"));
    }
    depth(9);
    let again = |how| held.iter().map(|delivery| (delivery.receipt, how)).collect::<Vec<_>>();
    // What waits for its retry is in flight, as the service has it.
    let waits = again(Settle::RetryLater { delay_ms: 600_000 });
    assert_eq!(runtime.block_on(source.settle(waits)), [Ok(()); 4]);
    depth(9);
    sqs.delete(&queue_url, &others);
    depth(6);
    sqs.purge(&queue_url);
    depth(0);
    runtime.block_on(source.close());
}
