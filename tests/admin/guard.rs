//! Who is let in, attacked rule by rule.

use crate::client::{Answer, raw, text};
use crate::rig::{ADMIN, HEAD, OPERATOR, Rig, VIEWER, chaos, site};
use serde_json::json;

/// With these headers beside a good token.
fn with(rig: &Rig, line: &str, headers: &[&str]) -> Answer {
    let token = format!("authorization: Bearer {ADMIN}");
    let all: Vec<&str> = headers.iter().copied().chain([token.as_str()]).collect();
    rig.send(&text(line, &all, b""))
}

#[test]
fn nobody_is_answered_without_a_token_that_holds() {
    let rig = Rig::new();
    let to = rig.address("api");
    let host = format!("host: {to}");
    let long = format!("authorization: Bearer {}", "x".repeat(20_000));
    for wrong in [
        "x-nothing: 1",
        "authorization: Bearer ",
        "authorization: Bearer wrong-token-0123456789abcdef",
        "authorization: Bearer admin-token-0123456789abcde",
        "authorization: Bearer admin-token-0123456789abcdef0",
        "authorization: Basic YWRtaW46YWRtaW4tdG9rZW4tMDEyMzQ1Njc4OWFiY2RlZg==",
        "authorization: admin-token-0123456789abcdef",
        "cookie: token=admin-token-0123456789abcdef",
        long.as_str(),
    ] {
        for path in ["/v1/pipelines", "/metrics", "/livez", "/openapi.json", "/nothing"] {
            let answer = rig.send(&text(&format!("GET {path}"), &[host.as_str(), wrong], b""));
            let why = answer.refused(401);
            assert!(why.contains("Bearer") && !why.contains("token-0123"), "{wrong} {path}: {why}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"pelton\"");
            assert_eq!(answer.headers["connection"], "close");
        }
    }
    let twice = format!("authorization: Bearer {ADMIN}");
    let answer = rig.send(&text("GET /v1/pipelines", &[&host, &twice, "authorization: Bearer x"], b""));
    answer.refused(400);
    assert_eq!(with(&rig, "GET /v1/pipelines", &[&host, "x-nothing: 1"]).status, 200);
    // Neither in the URL nor in another header.
    let answer = rig.send(&text(&format!("GET /v1/pipelines?token={ADMIN}"), &[&host], b""));
    answer.refused(401);
    rig.worker.stop();
}

/// A stranger's name can be made to lead here: a browser says by which name it came.
#[test]
fn a_name_that_is_not_known_here_is_refused() {
    let head = HEAD.replace("[admin]", "[admin]\nhosts = [\"pelton.example.com\"]");
    let rig = Rig::with(&head, &[chaos()]);
    let to = rig.address("api");
    let port = to.port();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.example:9090",
        "127.0.0.1.evil.example",
        "10.9.8.7",
        "[2001:db8::1]",
        "169.254.169.254",
        "pelton.example.com.evil.example",
        "localhost.",
    ] {
        with(&rig, "GET /v1/pipelines", &[&format!("host: {host}")]).refused(421);
    }
    for host in ["", "a b", "user@127.0.0.1", "http://127.0.0.1"] {
        assert!(
            matches!(with(&rig, "GET /v1/pipelines", &[&format!("host: {host}")]).status, 400 | 421),
            "{host}"
        );
    }
    with(&rig, "GET /v1/pipelines", &[]).refused(400);
    with(&rig, "GET /v1/pipelines", &["host: localhost", "host: evil.example"]).refused(400);
    let absolute = "GET http://evil.example/v1/pipelines";
    assert!(matches!(with(&rig, absolute, &["host: localhost"]).status, 400 | 421));
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "LOCALHOST".to_owned(),
        "pelton.example.com".to_owned(),
        "Pelton.Example.COM:443".to_owned(),
        "[::1]".to_owned(),
    ] {
        let answer = with(&rig, "GET /v1/pipelines", &[&format!("host: {host}")]);
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
    rig.worker.stop();
}

/// Pages of strangers, even with a token that a careless user has given away.
#[test]
fn a_page_of_another_site_can_ask_and_change_nothing() {
    let rig = Rig::new();
    let to = rig.address("api");
    let host = format!("host: {to}");
    for wrong in [
        "origin: http://evil.example",
        "origin: null",
        "origin: https://localhost.evil.example",
        "origin: file://",
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: Same-Origin",
    ] {
        for line in
            ["GET /v1/pipelines", "GET /v1/events", "POST /v1/pipelines/orders/pause", "POST /v1/reload"]
        {
            let answer = with(&rig, line, &[&host, wrong]);
            assert!(answer.refused(403).contains("another site"), "{line} {wrong}: {answer:?}");
        }
    }
    let other = format!("origin: http://127.0.0.1:{}", to.port() ^ 1);
    with(&rig, "POST /v1/pipelines/orders/pause", &[&host, &other]).refused(403);
    let two = ["sec-fetch-site: same-origin", "sec-fetch-site: cross-site"];
    with(&rig, "POST /v1/pipelines/orders/pause", &[&host, two[0], two[1]]).refused(403);
    assert_eq!(rig.get("/v1/pipelines/orders").ok()["steering"]["paused"], json!(null));
    let own = format!("origin: http://{to}");
    let answer =
        with(&rig, "POST /v1/pipelines/orders/pause", &[&host, &own, "sec-fetch-site: same-origin"]);
    assert_eq!(answer.status, 200, "{answer:?}");
    // A form cannot send JSON, and nothing else is taken.
    let form = text(
        "POST /v1/pipelines/orders/resume",
        &[&host, &format!("authorization: Bearer {ADMIN}"), "content-type: text/plain"],
        b"{\"partition\": \"orders/0\"}",
    );
    rig.send(&form).refused(415);
    rig.worker.stop();
}

#[test]
fn reading_changes_nothing_and_no_answer_allows_another_origin_anything() {
    let rig = Rig::new();
    let host = format!("host: {}", rig.address("api"));
    for path in ["pause", "resume", "skip", "deploy", "rollback", "reload", "reset"] {
        let line = format!("/v1/pipelines/orders/{path}");
        for verb in ["GET", "HEAD", "OPTIONS", "TRACE", "PATCH"] {
            let answer = with(&rig, &format!("{verb} {line}"), &[&host, "x-http-method-override: POST"]);
            assert_eq!(answer.status, 405, "{verb} {line}: {answer:?}");
        }
    }
    for path in ["/v1/pipelines", "/v1/pipelines/orders", "/metrics", "/nothing", "/v1/pipelines/none"] {
        for line in [format!("GET {path}"), format!("OPTIONS {path}"), format!("HEAD {path}")] {
            let answer = with(&rig, &line, &[&host, "access-control-request-method: POST"]);
            let names: Vec<&String> = answer.headers.keys().collect();
            assert!(!names.iter().any(|name| name.starts_with("access-control")), "{line}: {answer:?}");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{line}");
            assert_eq!(answer.headers["cache-control"], "no-store", "{line}");
            assert!(answer.headers["content-security-policy"].contains("default-src 'none'"), "{line}");
            assert!(!answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("server"));
        }
    }
    assert_eq!(rig.get("/v1/pipelines/orders").ok()["steering"]["paused"], json!(null));
    assert_eq!(rig.asks(ADMIN, "GET /v1/audit", None).ok()["entries"], json!([]));
    rig.worker.stop();
}

#[test]
fn each_role_does_what_it_may_and_no_more() {
    let rig = Rig::new();
    let pause = "/v1/pipelines/orders/pause";
    let why = rig.post(VIEWER, pause, json!({})).refused(403);
    assert!(why.contains("`operator`") && why.contains("viewer"), "{why}");
    assert_eq!(rig.post(OPERATOR, pause, json!({})).status, 200);
    for path in ["deploy", "rollback", "reload", "reset"] {
        let path = format!("/v1/pipelines/orders/{path}");
        rig.post(OPERATOR, &path, json!({})).refused(403);
        rig.post(VIEWER, &path, json!({})).refused(403);
    }
    rig.post(OPERATOR, "/v1/reload", json!({})).refused(403);
    rig.asks(OPERATOR, "GET /v1/audit", None).refused(403);
    let entries = rig.asks(ADMIN, "GET /v1/audit", None).ok()["entries"].clone();
    assert_eq!(entries.as_array().map(Vec::len), Some(1), "what is not let through is no write: {entries}");
    assert_eq!((&entries[0]["who"], &entries[0]["from"]), (&json!("operator"), &json!("127.0.0.1")));
    rig.worker.stop();
}

/// Behind a proxy: its word counts, and that of what stands before it does not.
#[test]
fn who_asks_through_a_proxy_is_told_by_the_proxy_alone() {
    let head = HEAD.replace("[admin]", "[admin]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]");
    let rig = Rig::with(&head, &[chaos()]);
    let pause = "POST /v1/pipelines/orders/pause";
    let forwarded = ["x-forwarded-for: 6.6.6.6, 203.0.113.7, 10.0.0.3"];
    assert_eq!(rig.asks_with(OPERATOR, pause, &forwarded, Some(&json!({}))).status, 200);
    assert_eq!(
        rig.asks_with(OPERATOR, pause, &["x-forwarded-for: nonsense"], Some(&json!({}))).status,
        200
    );
    let own = ["x-forwarded-host: pelton.example.com", "origin: https://pelton.example.com"];
    assert_eq!(rig.asks_with(OPERATOR, pause, &own, Some(&json!({}))).status, 200);
    let entries = rig.asks(ADMIN, "GET /v1/audit", None).ok()["entries"].clone();
    let from: Vec<_> =
        entries.as_array().expect("a list").iter().rev().map(|entry| &entry["from"]).collect();
    assert_eq!(from, [&json!("203.0.113.7"), &json!("127.0.0.1"), &json!("127.0.0.1")]);
    rig.worker.stop();
    // Of somebody who is no proxy it is no word.
    let rig = Rig::new();
    assert_eq!(rig.asks_with(OPERATOR, pause, &forwarded, Some(&json!({}))).status, 200);
    rig.asks_with(OPERATOR, pause, &own, Some(&json!({}))).refused(403);
    assert_eq!(rig.asks(ADMIN, "GET /v1/audit", None).ok()["entries"][0]["from"], "127.0.0.1");
    rig.worker.stop();
}

#[test]
fn what_would_be_open_to_others_does_not_start() {
    let token = "tokens = [{ file = \"secrets/admin\", role = \"admin\" }]";
    for (lines, wanted) in [
        ("listen = \"127.0.0.1:0\"".to_owned(), "takes `tokens`"),
        (format!("listen = \"0.0.0.0:0\"\n{token}"), "write `tls`, or the `trusted_proxies`"),
        (format!("listen = \"[::]:0\"\n{token}"), "write `tls`, or the `trusted_proxies`"),
        ("listen = \"127.0.0.1:0\"\ntokens = []".to_owned(), "takes `tokens`"),
        (
            "listen = \"127.0.0.1:0\"\ntokens = [{ file = \"secrets/short\", role = \"admin\" }]"
                .to_owned(),
            "openssl rand",
        ),
        (
            "listen = \"127.0.0.1:0\"\ntokens = [{ file = \"secrets/none\", role = \"admin\" }]".to_owned(),
            "does not exist",
        ),
        (
            format!(
                "listen = \"127.0.0.1:0\"\ntls = {{ cert = \"none.pem\", key = \"none.key\" }}\n{token}"
            ),
            "does not exist",
        ),
        (token.to_owned(), "closed to other users"),
    ] {
        let site = site(&format!("[admin]\n{lines}"), &[chaos()]);
        std::fs::write(site.path().join("secrets/short"), "123456789").expect("a file");
        for command in ["check", "run"] {
            let output = site.run(&[command]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(78), "{command} {lines}: {said}");
            assert!(said.contains("admin.") && said.contains(wanted), "{command} {lines}: {said}");
        }
    }
}

#[test]
fn the_socket_is_closed_to_others_and_needs_no_token() {
    use std::os::unix::fs::PermissionsExt;
    for (head, path) in [("", "data/admin.sock"), ("[admin]\nlisten = \"unix:own.sock\"", "own.sock")] {
        let rig = Rig::with(head, &[chaos()]);
        let mode = std::fs::metadata(rig.site.path().join(path)).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let all = rig.over(path, "GET /v1/pipelines").ok();
        assert_eq!(all["pipelines"][0]["name"], "orders");
        assert_eq!(rig.over(path, "POST /v1/pipelines/orders/pause").status, 200);
        let entry = rig.over(path, "GET /v1/audit").ok()["entries"][0].clone();
        assert_eq!((&entry["from"], &entry["role"]), (&json!("socket"), &json!("admin")), "{entry}");
        rig.worker.stop();
    }
    let rig = Rig::with("[admin]\nlisten = \"off\"", &[chaos()]);
    assert!(!rig.site.data().join("admin.sock").exists());
    rig.worker.stop();
}

/// Requests that two readers could read in two ways.
#[test]
fn odd_requests_are_refused_and_the_worker_goes_on() {
    let rig = Rig::new();
    let to = rig.address("api");
    let (host, token) = (format!("host: {to}"), format!("authorization: Bearer {ADMIN}"));
    let head = format!("POST /v1/pipelines/orders/pause HTTP/1.1\r\n{host}\r\n{token}\r\n");
    let twice = format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!");
    let signed = format!("{head}content-length: +5\r\n\r\nhello");
    let huge = format!("{head}content-length: 99999999999999999999\r\n\r\n");
    let folded = format!("{head}x: a\r\n b\r\n\r\n");
    let many: String = (0..2_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    let many = format!("{head}{many}\r\n");
    let wide = format!("GET /{} HTTP/1.1\r\n{host}\r\n\r\n", "a".repeat(100_000));
    let nul = format!("GET /v1/pipelines\0 HTTP/1.1\r\n{host}\r\n{token}\r\n\r\n");
    let two = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned();
    for bytes in [twice, signed, huge, folded, many, wide, nul, two, "\x16\x03\x01".repeat(50)] {
        use std::io::{Read, Write};
        let mut stream = crate::client::connect(to);
        drop(stream.write_all(bytes.as_bytes()));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut all = Vec::new();
        drop(stream.read_to_end(&mut all));
        let all = String::from_utf8_lossy(&all).into_owned();
        let status = all.split(' ').nth(1).unwrap_or("none").to_owned();
        assert!(!all.contains("200 OK") && status != "500", "{:.300}: {all}", bytes);
    }
    assert_eq!(rig.get("/v1/pipelines/orders").ok()["steering"]["paused"], json!(null));
    // With both lengths the chunks count, and what stands behind them needs a token of its own.
    let both = format!(
        "{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n\
         POST /v1/pipelines/orders/resume HTTP/1.1\r\n{host}\r\nconnection: close\r\n\r\n"
    );
    let answers = raw(to, both.as_bytes()).body;
    assert!(!answers.contains("200 OK"), "{answers}");
    let body = vec![b'x'; (1 << 20) + 1];
    let large =
        text("POST /v1/pipelines/orders/pause", &[&host, &token, "content-type: application/json"], &body);
    raw(to, &large).refused(413);
    let chunk = format!("{:x}\r\n{}\r\n", body.len(), "x".repeat(body.len()));
    let chunked = format!(
        "{head}connection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
         {chunk}0\r\n\r\n"
    );
    raw(to, chunked.as_bytes()).refused(413);
    rig.worker.stop();
}
