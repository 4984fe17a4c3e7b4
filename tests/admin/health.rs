//! Whether it lives and is ready, as orchestrators and containers ask.

use crate::rig::{HEAD, Rig, chaos, site};
use pelton_tests::components::plugin;
use pelton_tests::site::Pipeline;
use pelton_tests::wait::until;
use rustix::process::Signal;

#[test]
fn a_worker_that_is_well_lives_is_ready_and_counts() {
    let rig = Rig::new();
    rig.good(20);
    until("they are handled", || (rig.site.status("orders").handled == 20).then_some(()));
    for path in ["/livez", "/ping", "/readyz", "/ready"] {
        let answer = rig.health(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    let all = rig.health("/readyz?verbose").body;
    assert_eq!(all, "[+] worker: ok\n[+] store: ok\n[+] pipelines.orders: ok\n");
    let metrics = until("they are counted", || {
        let metrics = rig.health("/metrics");
        assert_eq!(metrics.status, 200, "{metrics:?}");
        metrics.body.lines().any(|line| line.contains("orders") && line.ends_with(" 20")).then_some(metrics)
    });
    assert!(metrics.headers["content-type"].starts_with("text/plain; version="), "{metrics:?}");
    // Nothing else is there for whoever asks.
    for path in ["/", "/v1/pipelines", "/openapi.json", "/v1/audit", "/livez/..", "/%2e%2e/v1/pipelines"] {
        assert_eq!(rig.health(path).status, 404, "{path}");
    }
    assert!(rig.site.done(&["health"]).contains("ok"));
    assert!(rig.site.done(&["health", "--ready"]).contains("ok"));
    rig.worker.stop();
    let ended = rig.site.run(&["health"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("no worker runs"), "{ended:?}");
}

#[test]
fn a_worker_that_drains_lives_and_is_not_ready() {
    let head = format!("shutdown_timeout = \"20s\"\n{HEAD}");
    let rig = Rig::with(&head, &[chaos()]);
    rig.sleeper();
    until("it runs", || (rig.site.status("orders").in_flight == 1).then_some(()));
    assert!(rig.worker.signal(Signal::TERM));
    let answer = until("it drains", || Some(rig.health("/readyz")).filter(|answer| answer.status == 503));
    assert_eq!(answer.body, "worker: is draining: it ends\n");
    assert_eq!(rig.health("/livez").status, 200);
    let asked = rig.site.run(&["health", "--ready"]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("is draining"), "{asked:?}");
    assert!(rig.site.done(&["health"]).contains("ok"));
    // A second signal ends it at once.
    assert!(rig.worker.signal(Signal::TERM));
    assert_eq!(rig.worker.wait().code, Some(128 + 15));
}

/// It does not come back by itself, and its worker has others.
#[test]
fn a_pipeline_that_has_ended_is_a_reason_and_the_worker_lives() {
    let head = format!("{HEAD}\n");
    let other = Pipeline::new("others", plugin("chaos"));
    let site = site(&head, &[chaos(), other]);
    let worker = site.worker_with(&[], &[("PELTON_PANIC_AT", "guest-chunk:1")]).ready();
    let rig = Rig { site, worker };
    rig.good(1);
    rig.worker.log.wait("it ends", |line| line.says("this pipeline ends"));
    let answer = until("it is told", || Some(rig.health("/readyz")).filter(|answer| answer.status == 503));
    assert!(answer.body.starts_with("pipelines.orders: has ended: "), "{answer:?}");
    assert_eq!(answer.body.lines().count(), 1, "{answer:?}");
    assert_eq!(rig.health("/livez").status, 200);
    rig.site.done(&["reload", "orders"]);
    assert_eq!(rig.health("/readyz").body, "ok\n");
    // It says at its end that something has ended before.
    assert!(rig.worker.signal(Signal::TERM));
    assert_eq!(rig.worker.wait().code, Some(70));
}

#[test]
fn a_paused_pipeline_stays_ready() {
    let rig = Rig::new();
    rig.site.done(&["pause", "orders", "--reason", "a test"]);
    let answer = rig.health("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    rig.worker.stop();
}
