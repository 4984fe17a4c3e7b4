//! A thread that panics ends its own pipeline, and loses nothing.

use crate::{order, pipeline};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::panics::{ends_alone, other};
use pelton_tests::site::Site;

#[test]
fn a_panic_of_a_thread_ends_its_pipeline_and_not_the_other() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let site = Site::with(
        "shutdown_timeout = \"4m\"",
        &[pipeline(&broker, "orders", ""), other(plugin("orders"))],
    );
    let good = |n: u64| order(n, "c", 0);
    let (mut sent, mut letters) = (0, 0);
    for (point, place) in [
        ("kafka-poll:2", "at the thread that polls Kafka"),
        ("kafka-record:2", "at orders/0:"),
        ("kafka-commit:1", "at the thread that commits to Kafka"),
        ("kafka-assign:1", "at an assignment of the group"),
        ("kafka-letter:1", "at the thread that sends dead letters to Kafka"),
    ] {
        let worker = site.worker_with(&[], &[("PELTON_PANIC_AT", point)]).ready();
        broker.produce("orders", &(sent..sent + 10).map(good).collect::<Vec<_>>());
        sent += 10;
        if point.starts_with("kafka-letter") {
            broker.produce("orders", &[Record { value: Some(b"no order".to_vec()), ..Record::default() }]);
            letters = 1;
        }
        ends_alone(&worker, &site, &[], place, |pipeline| {
            let text = good(1).value.map(|body| String::from_utf8_lossy(&body).into_owned());
            site.send_lines(pipeline, &[], &[text.expect("it has a body")]);
        });
    }
    site.until_empty();
    let status = site.status("orders");
    assert_eq!((status.handled, status.dead_letters, status.left()), (sent, letters, 0));
}

/// The broker's own refusal ends the pipeline that it is about.
#[test]
fn a_source_that_cannot_go_on_leaves_the_other_pipeline_as_it_is() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let one = pipeline(&broker, "orders", ", auto_offset_reset = \"error\"");
    let site = Site::with("shutdown_timeout = \"4m\"", &[one, other(plugin("orders"))]);
    let worker = site.worker().ready();
    ends_alone(&worker, &site, &[], "its source cannot go on", |pipeline| {
        let text = order(1, "c", 0).value.map(|body| String::from_utf8_lossy(&body).into_owned());
        site.send_lines(pipeline, &[], &[text.expect("it has a body")]);
    });
}
