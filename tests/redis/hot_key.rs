//! One key that waits for its retry does not keep others out.

use crate::{STREAM, body, order, status, taken};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::collections::BTreeSet;

/// With few places, and a retry that is far away.
fn small(pipeline: Pipeline) -> Pipeline {
    pipeline.with("retry", "initial_interval = \"10m\"\nmax_interval = \"10m\"")
}

fn few(url: &str, source: &str, more: &str) -> Pipeline {
    let source = match source {
        "stream" => format!(
            "source = {{ type = \"redis-stream\", url = \"{url}\", stream = \"{STREAM}\", group = \"g\", \
             body_field = \"body\", key_field = \"customer\" }}"
        ),
        _ => format!("source = {{ type = \"redis-list\", url = \"{url}\", list = \"orders\" }}"),
    };
    let own = format!("{source}\nmax_in_flight = 10\n{more}");
    let component = pelton_tests::components::plugin("orders");
    small(Pipeline::new("orders", component).with("", &own))
}

#[test]
fn a_key_of_a_stream_that_waits_for_its_retry_keeps_no_other_out() {
    let redis = Redis::start();
    let hot = (0..200).map(|n| order(n, "hot", u32::from(n == 0)));
    let others = (200..260).map(|n| order(n, "other", 0));
    redis.add(STREAM, &hot.chain(others).collect::<Vec<_>>());
    let site = Site::new(&[few(&redis.url(), "stream", "")]);
    let worker = site.worker();
    worker.log.wait_for("all others are taken", 60, |line| line.says(" taken"));
    assert_eq!(taken(&worker.log).into_iter().collect::<BTreeSet<_>>(), (200..260).collect());
    let waiting =
        until("it says how many wait", || status(&site)["waiting"].as_u64().filter(|n| *n == 200));
    assert_eq!((waiting, &status(&site)["held_back"]), (200, &false.into()));
    worker.stop();
}

#[test]
fn messages_of_a_list_that_wait_for_their_retries_keep_no_other_out() {
    let redis = Redis::start();
    redis.push("orders", &(0..80).map(|n| body(n, "c", u32::from(n < 50))).collect::<Vec<_>>());
    let site = Site::new(&[few(&redis.url(), "list", "")]);
    let worker = site.worker();
    worker.log.wait_for("all others are taken", 30, |line| line.says(" taken"));
    worker.stop();
}

/// The limit that is left, where there are no partitions to hold back.
#[test]
fn what_waits_is_bounded_by_its_bytes_which_is_said() {
    let redis = Redis::start();
    let heavy = |n: u64| {
        let mut fields = order(n, "hot", u32::from(n == 0));
        fields
            .iter_mut()
            .filter(|(name, _)| *name == "body")
            .for_each(|(_, body)| body.resize(64 << 10, b' '));
        fields
    };
    redis.add(STREAM, &(0..40).map(heavy).collect::<Vec<_>>());
    let pipeline = few(&redis.url(), "stream", "max_in_flight_bytes = \"1MiB\"");
    let site = Site::with("max_message_bytes = \"128KiB\"", &[pipeline]);
    let worker = site.worker();
    let all = until("it is held back", || Some(status(&site)).filter(|all| all["held_back"] == true));
    assert!(all["waiting"].as_u64().is_some_and(|count| (5..=16).contains(&count)), "{all}");
    assert!(site.done(&["status"]).contains("nothing more is received (held_back)"));
    worker.log.wait("it is said", |line| line.says("nothing more is received: what waits"));
    worker.stop();
}
