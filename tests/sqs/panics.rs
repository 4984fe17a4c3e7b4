//! A task that panics ends its own pipeline, and loses nothing.

use crate::{Shop, pipeline, plain};
use pelton_tests::components::plugin;
use pelton_tests::panics::{ends_alone, other};
use pelton_tests::site::Site;
use pelton_tests::sqs::{Counts, LOGIN, Sqs};

#[test]
fn a_panic_of_a_task_ends_its_pipeline_and_not_the_other() {
    let sqs = Sqs::start();
    let url = sqs.queue("orders", &[]);
    // No drain waits for what nobody does any more.
    let site = Site::with("shutdown_timeout = \"10m\"", &[pipeline(&url, ""), other(plugin("orders"))]);
    let shop = Shop(site);
    let mut sent = 0;
    for (point, place) in [
        ("sqs-receive:1", "at a receive"),
        ("sqs-message:2", "at message "),
        ("sqs-settle:1", "at the task that settles"),
        ("sqs-call:1", "at a call"),
    ] {
        let env = [&LOGIN[..], &[("PELTON_PANIC_AT", point)]].concat();
        let worker = shop.0.worker_with(&[], &env).ready();
        sqs.send(&url, &(sent..sent + 10).map(|n| plain(n, 0)).collect::<Vec<_>>());
        sent += 10;
        ends_alone(&worker, &shop.0, &LOGIN, place, |pipeline| {
            shop.0.send_lines(pipeline, &[], &[plain(1, 0).body]);
        });
    }
    shop.until_empty();
    assert_eq!(sqs.counts(&url), Counts::default());
    assert_eq!(shop.status()["handled"], sent, "each is completed once");
}
