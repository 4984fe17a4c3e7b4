//! What the API does, as the commands do it.

use crate::client::text;
use crate::document::Document;
use crate::rig::{ADMIN, HEAD, OPERATOR, Rig, VIEWER, chaos};
use pelton_tests::components::plugin;
use pelton_tests::wait::until;
use serde_json::{Value, json};

/// Asks, and sees that question and answer are as the document has them.
fn asked(rig: &Rig, document: &Document, verb: &str, path: &str, body: Option<Value>) -> Value {
    let at = path.replace("{pipeline}", "orders");
    if let Some(body) = &body {
        document.wants(verb, path, body);
    }
    let answer = rig.asks(ADMIN, &format!("{verb} {at}"), body.as_ref());
    document.holds(verb, path, &answer);
    answer.ok()
}

#[test]
fn operators_steer_a_pipeline_as_the_commands_do() {
    let rig = Rig::new();
    let document = Document::of(&rig);
    let body = json!({ "reason": "the database moves", "for": "30m" });
    let done = asked(&rig, &document, "POST", "/v1/pipelines/{pipeline}/pause", Some(body));
    let paused = &done["now"]["paused"];
    assert_eq!((&done["scope"], &paused["reason"]), (&json!("worker"), &json!("the database moves")));
    assert_eq!(paused["by"], "admin (127.0.0.1)");
    rig.good(5);
    let shown = rig.site.done(&["status"]);
    assert!(shown.contains("the database moves"), "{shown}");
    let one = asked(&rig, &document, "GET", "/v1/pipelines/{pipeline}", None);
    assert_eq!((&one["counters"]["handled"], &one["ready"]), (&json!(0), &json!(true)), "{one}");
    assert!(asked(&rig, &document, "GET", "/v1/scale/{pipeline}", None)["paused"] == true);
    asked(&rig, &document, "POST", "/v1/pipelines/{pipeline}/resume", Some(json!({})));
    until("they are handled", || {
        let one = asked(&rig, &document, "GET", "/v1/pipelines/{pipeline}", None);
        (one["counters"]["handled"] == 5).then_some(())
    });
    let body = json!({ "per_second": 50.0, "for": "10m" });
    let done = asked(&rig, &document, "PUT", "/v1/pipelines/{pipeline}/rate", Some(body));
    assert_eq!(done["now"]["rate"]["per_second"], 50.0);
    let done = asked(&rig, &document, "DELETE", "/v1/pipelines/{pipeline}/rate", None);
    assert_eq!(done["now"]["rate"], Value::Null);
    for wrong in [
        json!({ "for": "soon" }),
        json!({ "for": "0s" }),
        json!({ "reasom": "x" }),
        json!([1]),
        json!({ "reason": 1 }),
    ] {
        rig.post(OPERATOR, "/v1/pipelines/orders/pause", wrong.clone()).refused(400);
    }
    for wrong in
        [json!({ "per_second": 0, "for": "1m" }), json!({ "per_second": "fast", "for": "1m" }), json!({})]
    {
        rig.asks(OPERATOR, "PUT /v1/pipelines/orders/rate", Some(&wrong)).refused(400);
    }
    rig.post(OPERATOR, "/v1/pipelines/none/pause", json!({})).refused(404);
    rig.get("/v1/pipelines/%1b%5b31m").refused(404);
    rig.get("/v1/pipelines?verbose").refused(400);
    let body = json!({ "message": "orders/77", "reason": "a test" });
    let why = rig.post(OPERATOR, "/v1/pipelines/orders/skip", body).refused(409);
    assert!(why.contains("orders/77"), "{why}");
    rig.worker.stop();
}

#[test]
fn what_is_asked_twice_with_one_key_is_done_once() {
    let rig = Rig::new();
    let (path, key) = ("POST /v1/pipelines/orders/pause", "idempotency-key: 7f3a");
    let body = json!({ "reason": "first" });
    let first = rig.asks_with(OPERATOR, path, &[key], Some(&body)).ok();
    assert_eq!(first["unchanged"], false);
    rig.post(OPERATOR, "/v1/pipelines/orders/resume", json!({})).ok();
    assert_eq!(rig.asks_with(OPERATOR, path, &[key], Some(&body)).ok(), first, "it is not done again");
    assert_eq!(rig.get("/v1/pipelines/orders").ok()["steering"]["paused"], Value::Null);
    rig.asks_with(OPERATOR, path, &[key], Some(&json!({ "reason": "other" }))).refused(422);
    rig.asks_with(OPERATOR, "POST /v1/pipelines/orders/resume", &[key], Some(&json!({}))).refused(422);
    // The key of another is another.
    assert_eq!(rig.asks_with(ADMIN, path, &[key], Some(&body)).ok()["unchanged"], false);
    assert_eq!(rig.asks_with(OPERATOR, path, &["idempotency-key: a b"], Some(&body)).status, 400);
    rig.asks_with(OPERATOR, path, &[&format!("idempotency-key: {}", "x".repeat(300))], Some(&body))
        .refused(400);
    let entries = rig.asks(ADMIN, "GET /v1/audit", None).ok()["entries"].clone();
    let who: Vec<_> = entries.as_array().expect("a list").iter().rev().map(|entry| &entry["who"]).collect();
    assert_eq!(who, [&json!("operator"), &json!("operator"), &json!("admin")], "{entries:#}");
    rig.worker.stop();
}

#[test]
fn versions_come_by_upload_and_go_by_rollback() {
    let rig = Rig::new();
    let document = Document::of(&rig);
    let first = asked(&rig, &document, "GET", "/v1/pipelines/{pipeline}/versions", None);
    let first = first["versions"][0]["digest"].clone();
    let deploy = |path: &str, bytes: &[u8], media: &str| {
        let (host, token) =
            (format!("host: {}", rig.address("api")), format!("authorization: Bearer {ADMIN}"));
        let headers = [host.as_str(), &token, &format!("content-type: {media}")];
        rig.send(&text(&format!("POST {path}"), &headers, bytes))
    };
    let path = "/v1/pipelines/orders/deploy";
    let component = std::fs::read(plugin("orders")).expect("a component");
    let answer = deploy(path, &component, "application/wasm");
    document.holds("POST", "/v1/pipelines/{pipeline}/deploy", &answer);
    let done = answer.ok();
    assert_eq!(done["result"], "deployed", "{done}");
    assert_eq!(deploy(path, &component, "application/wasm").ok()["result"], "unchanged");
    assert!(rig.site.done(&["versions", "orders"]).contains("the API (admin (127.0.0.1))"));
    deploy(path, b"no component", "application/wasm").refused(422);
    deploy(path, &component, "application/json").refused(415);
    deploy(path, b"", "application/wasm").refused(400);
    deploy(&format!("{path}?canary=0.9"), &component, "application/wasm").refused(400);
    deploy("/v1/pipelines/none/deploy", &component, "application/wasm").refused(404);
    let body = json!({});
    let back = asked(&rig, &document, "POST", "/v1/pipelines/{pipeline}/rollback", Some(body));
    assert_eq!((&back["result"], &back["digest"]), (&json!("rolled_back"), &first));
    let why = rig.post(ADMIN, "/v1/pipelines/orders/rollback", json!({ "to": "sha256:ffff" })).refused(409);
    assert!(why.contains("ffff"), "{why}");
    asked(&rig, &document, "POST", "/v1/reload", None);
    asked(&rig, &document, "POST", "/v1/pipelines/{pipeline}/reload", None);
    let path = rig.site.path().join("pelton.toml");
    std::fs::write(&path, std::fs::read_to_string(&path).expect("a file") + "\nnonsense = 1\n")
        .expect("a file");
    let why = rig.post(ADMIN, "/v1/reload", json!({})).status;
    assert_eq!(why, 400, "this takes no body");
    let why = rig.asks(ADMIN, "POST /v1/reload", None).refused(409);
    assert!(why.contains("nonsense"), "{why}");
    rig.worker.stop();
}

#[test]
fn what_was_changed_is_known_after_a_restart_and_shows_no_more_than_it_should() {
    let rig = Rig::new();
    let document = Document::of(&rig);
    let forged = json!({ "reason": "\u{1b}[31mred\n2026 forged" });
    rig.post(OPERATOR, "/v1/pipelines/orders/pause", forged).refused(409);
    rig.post(OPERATOR, "/v1/pipelines/orders/pause", json!({ "reason": "red" })).ok();
    rig.post(OPERATOR, "/v1/pipelines/orders/pause", json!({ "for": "soon" })).refused(400);
    let line = rig.worker.log.wait("it is logged", |line| line.says("audit: POST"));
    assert_eq!((line.field("who"), line.field("from")), ("operator", "127.0.0.1"));
    let before = asked(&rig, &document, "GET", "/v1/audit", None);
    let Rig { site, worker } = rig;
    worker.stop();
    let rig = Rig::of(site);
    let entries = asked(&rig, &document, "GET", "/v1/audit", None)["entries"].clone();
    assert_eq!(entries, before["entries"]);
    let status: Vec<_> = entries.as_array().expect("a list").iter().map(|entry| &entry["status"]).collect();
    assert_eq!(status, [&json!(400), &json!(200), &json!(409)]);
    assert!(entries[0]["refused"].as_str().is_some_and(|why| why.contains("`for`")), "{entries:#}");
    assert!(!entries.to_string().contains('\u{1b}'));
    assert_eq!(
        rig.asks(ADMIN, "GET /v1/audit?limit=1", None).ok()["entries"].as_array().map(Vec::len),
        Some(1)
    );
    rig.asks(ADMIN, "GET /v1/audit?limit=0", None).refused(400);
    // It stays paused over a restart.
    assert!(rig.get("/v1/pipelines/orders").ok()["steering"]["paused"].is_object());
    rig.worker.stop();
}

#[test]
fn all_pipelines_are_listed_and_what_they_hold_is_told() {
    let other = pelton_tests::site::Pipeline::new("others", plugin("orders"));
    let rig = Rig::with(HEAD, &[chaos(), other]);
    let document = Document::of(&rig);
    let all = asked(&rig, &document, "GET", "/v1/pipelines", None);
    let names: Vec<_> =
        all["pipelines"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("orders"), &json!("others")]);
    rig.sleeper();
    until("it is held", || {
        let one = asked(&rig, &document, "GET", "/v1/pipelines/{pipeline}", None);
        (one["held"] == 1).then_some(())
    });
    let scale = asked(&rig, &document, "GET", "/v1/scale/{pipeline}", None);
    assert_eq!((&scale["in_flight"], &scale["ready"]), (&json!(1), &json!(true)), "{scale}");
    assert_eq!(asked(&rig, &document, "GET", "/version", None)["version"], env!("CARGO_PKG_VERSION"));
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = rig.asks(VIEWER, &format!("GET {path}"), None);
        assert_eq!(answer.status, 200, "{answer:?}");
        document.holds("GET", path, &answer);
    }
    rig.worker.signal(rustix::process::Signal::KILL);
}
