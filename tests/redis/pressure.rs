//! Fault 27, from a server that hands over many at once.

use crate::STREAM;
use pelton_tests::components::plugin;
use pelton_tests::pressure::{heavy, works_within};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};

#[test]
fn a_worker_that_may_have_256_mib_is_not_killed_and_loses_nothing() {
    let redis = Redis::start();
    let body = heavy().into_bytes();
    for _ in 0..40 {
        redis.add(STREAM, &(0..100).map(|_| vec![("body", body.clone())]).collect::<Vec<_>>());
    }
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"{STREAM}\", group = \"g\", \
         body_field = \"body\" }}\nmax_in_flight = 100000",
        redis.url()
    );
    let chaos = Pipeline::new("chaos", plugin("chaos"))
        .with("", &source)
        .with("handler", "timeout = \"50ms\"\nconcurrency = 2")
        .with("retry", "max_attempts = 1");
    let site = Site::with("shutdown_timeout = \"1s\"", &[chaos]);
    works_within(&site, "chaos", &[], 100);
    let status = site.status("chaos");
    assert_eq!(status.left() + status.dead_letters, 4_000, "{status:?}");
}
