//! How much a handler may do at once, and how large.

use crate::rig::*;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_host::{HandlerSpec, HttpLimits};
use pelton_tests::gateway::Gateway;
use serde_json::json;
use std::time::Duration;

#[test]
fn requests_beyond_those_at_once_wait_and_then_fail() {
    let gateway = Gateway::plain();
    let few = HttpLimits { max_concurrent: 3, connect_timeout: Duration::from_millis(500), ..limits() };
    let handler = load(&host(), &granted(vec![grant(&gateway.origin())], few));
    let quick = json!({ "url": gateway.url("/delay/10") });
    let done = steps(&handler, &json!({ "steps": vec![quick; 12], "together": true }));
    assert!(done.iter().all(|one| one["status"] == 200), "{done:?}");
    assert!(gateway.at_once().1 <= 3, "{:?}", gateway.at_once());
    // All answers are there before the first is read, and their places free.
    let short = json!({ "url": gateway.url("/big/2000") });
    let order = json!({ "steps": vec![short; 40], "together": true, "ok": true });
    assert_eq!(run(&handler, vec![work("m", &order.to_string())]), [Outcome::Ok(None)]);
    assert_eq!((gateway.count(), handler.http_counts().limited), (52, 0));
    let slow = json!({ "url": gateway.url("/delay/1500") });
    let done = steps(&handler, &json!({ "steps": vec![slow; 5], "together": true }));
    let failed =
        done.iter().filter(|one| one["error"].as_str() == Some("ErrorCode::ConnectionLimitReached"));
    assert_eq!(failed.count(), 2, "{done:?}");
}

#[test]
fn a_request_that_is_too_large_is_an_error_and_not_sent() {
    let gateway = Gateway::plain();
    let small = HttpLimits { max_request: 100_000, max_response: 1000, ..limits() };
    let handler = load(&host(), &granted(vec![grant(&gateway.origin())], small));
    for headers in [json!([]), json!([["content-length", "200000"]])] {
        let step =
            json!({ "method": "POST", "url": gateway.url("/ok"), "size": 200_000, "headers": headers });
        let done = one(&handler, &step);
        assert!(done["error"].as_str().is_some_and(|said| said.contains("HttpRequestBodySize")), "{done}");
    }
    assert_eq!(gateway.count(), 0, "no whole request came");
    let answer = one(&handler, &json!({ "url": gateway.url("/chunks/1001") }));
    assert!(answer["error"].as_str().is_some_and(|said| said.contains("HttpResponseBodySize")), "{answer}");
    assert_eq!(said(&handler, &gateway.url("/big/1000")), "200");
}

#[test]
fn headers_that_the_host_keeps_count_as_the_guests_memory() {
    let gateway = Gateway::plain();
    let spec = granted(vec![grant(&gateway.origin())], limits());
    let handler = load(&host(), &HandlerSpec { memory: 4 << 20, ..spec });
    let order = |count: usize| json!({ "steps": [], "hoard": count, "ok": true }).to_string();
    assert_eq!(run(&handler, vec![work("m", &order(100))]), [Outcome::Ok(None)]);
    // They were let go of, so that they do not add up.
    for _ in 0..20 {
        assert_eq!(run(&handler, vec![work("m", &order(200))]), [Outcome::Ok(None)]);
    }
    let hoarder = run(&handler, vec![work("m", &order(1_000_000))]).remove(0);
    assert!(
        matches!(&hoarder, Outcome::Fault { kind: FaultKind::Memory | FaultKind::Trap, .. }),
        "{hoarder:?}"
    );
    // One header of a request that is too large is an error.
    let long = json!({ "url": gateway.url("/ok"), "headers": [["x", "v".repeat(70_000)]] });
    let done = one(&handler, &long);
    assert!(done["error"].as_str().is_some_and(|said| said.contains("Forbidden")), "{done}");
}
