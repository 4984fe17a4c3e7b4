//! What a handler is told of good and bad answers, and that connections are kept.

use crate::rig::*;
use pelton_core::message::{Channel, HeaderList, Message, Parts};
use pelton_core::ports::Work;
use pelton_core::{Header, outcome::Outcome};
use pelton_host::{
    HandlerSpec, HttpAnswer, HttpError, HttpLimits, HttpRequest, HttpResponse, HttpScript, HttpSwitch,
    LoadError,
};
use pelton_tests::gateway::Gateway;
use pelton_tests::wait::until;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_bad_answer_is_an_error_of_its_own() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    for (path, word) in [
        ("/reset", "ConnectionTerminated"),
        ("/close", "ConnectionTerminated"),
        ("/short", "HttpResponseIncomplete"),
        ("/garbage", "HttpProtocolError"),
        ("/headers/200", "HttpResponseHeaderSectionSize"),
        ("/header/100000", "HttpResponseHeaderSectionSize"),
        ("/big/5000000", "HttpResponseBodySize"),
        ("/chunks/5000000", "HttpResponseBodySize"),
        ("/status/503", "503"),
        ("/chunks/100000", "200"),
    ] {
        let said = said(&handler, &gateway.url(path));
        assert!(said.contains(word), "{path}: {said}");
    }
    let chunks = one(&handler, &json!({ "url": gateway.url("/chunks/5000000") }));
    let read = chunks["read"].as_u64().expect("a number");
    assert!((3_900_000..=4 << 20).contains(&read), "what fits was there to read: {chunks}");
    let counts = handler.http_counts();
    assert_eq!((counts.denied, counts.running), (0, 0), "{counts:?}");
    assert!(counts.failed >= 4 && counts.limited >= 5, "{counts:?}");
}

#[test]
fn bytes_that_nobody_asked_for_are_no_answer() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    for _ in 0..20 {
        let done = steps(
            &handler,
            &json!({ "steps": [
                { "url": gateway.url("/more") },
                { "url": gateway.url("/echo") },
            ]}),
        );
        assert_eq!(done[0]["body"], "ok");
        let second = done[1]["body"].as_str().expect("text");
        assert!(second.starts_with("GET /echo") || done[1]["error"].is_string(), "{done:?}");
    }
}

#[test]
fn what_a_handler_sends_arrives() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    let done = one(
        &handler,
        &json!({
            "method": "POST", "url": gateway.url("/echo?a=b"), "headers": [["X-Mine", "yes"]],
            "body": "hello",
        }),
    );
    let echo = done["body"].as_str().expect("text");
    assert!(echo.starts_with("POST /echo?a=b\n") && echo.ends_with("\n\nhello"), "{echo}");
    for line in ["x-mine: yes", "content-length: 5", &format!("host: localhost:{}", gateway.port)] {
        assert!(echo.contains(line), "{line} in {echo}");
    }
    let large = one(&handler, &json!({ "method": "PUT", "url": gateway.url("/ok"), "size": 2_000_000 }));
    assert_eq!(large["status"], 200);
    assert_eq!(gateway.seen().last().expect("a request").body.len(), 2_000_000);
    for method in ["CONNECT", "TRACE"] {
        let done = one(&handler, &json!({ "method": method, "url": gateway.url("/ok") }));
        assert!(done["error"].as_str().is_some_and(|said| said.contains("MethodInvalid")), "{done}");
    }
    for header in ["host", "connection", "transfer-encoding", "proxy-authorization"] {
        let done = one(&handler, &json!({ "url": gateway.url("/ok"), "headers": [[header, "x"]] }));
        assert_eq!(done["error"], "header: HeaderError::Forbidden", "{header}");
    }
    let newline = one(&handler, &json!({ "url": gateway.url("/ok"), "headers": [["x", "a\r\nb: c"]] }));
    assert_eq!(newline["error"], "header: HeaderError::InvalidSyntax");
}

#[test]
fn three_thousand_calls_need_few_connections() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    let step = json!({ "method": "POST", "url": gateway.url("/ok"), "body": "x" });
    let order = json!({ "steps": vec![step; 50], "ok": true }).to_string();
    for _ in 0..60 {
        assert_eq!(run(&handler, vec![work("m", &order)]), [Outcome::Ok(None)]);
    }
    assert_eq!(gateway.count(), 3_000);
    assert!(gateway.connections() <= 4, "{} connections", gateway.connections());
}

#[test]
fn a_kept_connection_that_the_server_has_closed_is_replaced() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    for n in 1..=20 {
        assert_eq!(said(&handler, &gateway.url("/last")), "200");
        until("the server has closed it", || (gateway.closed().len() >= n).then_some(()));
    }
    assert_eq!((gateway.count(), gateway.connections()), (20, 20));
}

#[test]
fn a_post_that_may_have_arrived_is_not_sent_again() {
    let gateway = Gateway::plain();
    let handler = caller(&host(), &[&gateway]);
    assert_eq!(said(&handler, &gateway.url("/ok")), "200");
    // On the connection that is kept: the server reads it, and closes.
    let post = one(&handler, &json!({ "method": "POST", "url": gateway.url("/close"), "body": "x" }));
    assert!(post["error"].as_str().is_some_and(|said| said.contains("ConnectionTerminated")), "{post}");
    let posts = gateway.seen().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 1);
}

#[test]
fn a_handler_without_the_grant_does_not_load_and_is_told_the_lines() {
    let error =
        host().load_bytes("orders", guest("http_caller"), &HandlerSpec::default()).err().expect("refused");
    assert!(matches!(error, LoadError::GrantsMissing { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("wasi:http/outgoing-handler@0.2."), "{text}");
    assert!(text.contains("[[pipelines.orders.grants.http]]\nto = "), "{text}");
}

#[test]
fn a_component_by_somebody_elses_client_runs_as_it_is() {
    let gateway = Gateway::plain();
    let host = host();
    let spec = granted(vec![grant(&gateway.origin())], limits());
    let handler = host.load_bytes("orders", guest("http_foreign"), &spec).expect("it loads");
    let channel = Arc::new(Channel::new("orders", "queue"));
    let url = gateway.url("/echo");
    let headers = [Header::new("to", url.as_bytes())];
    let headers: HeaderList = headers.iter().collect();
    let parts =
        Parts { channel: &channel, headers: headers.view(), body: b"from afar", ..Parts::named("m") };
    let one = Work { message: Message::new(parts), ..work("m", "") };
    let Outcome::Retry { reason, .. } = run(&handler, vec![one]).remove(0) else {
        panic!("another outcome")
    };
    assert!(reason.starts_with("200 POST /echo") && reason.contains("from afar"), "{reason}");
}

/// Says what it was asked.
#[derive(Default)]
struct Script(Mutex<Vec<HttpRequest>>);

impl HttpScript for Script {
    fn answer(&self, request: &HttpRequest) -> HttpAnswer {
        self.0.lock().expect("no panic").push(request.clone());
        let end = if request.url.ends_with("/down") {
            Err(HttpError { code: "connection-refused".to_owned(), words: "as the case says".to_owned() })
        } else {
            let headers = vec![("X-From".to_owned(), b"script".to_vec())];
            Ok(HttpResponse { status: 201, headers, body: b"written".to_vec() })
        };
        HttpAnswer { delay: Duration::from_millis(1), end }
    }
}

#[test]
fn a_script_answers_in_place_of_the_world() {
    let script = Arc::new(Script::default());
    let spec = scripted(vec![grant("https://api.example.com")], HttpSwitch::Scripted(script.clone()));
    let handler = load(&host(), &spec);
    let done = steps(
        &handler,
        &json!({ "steps": [
            { "method": "POST", "url": "https://API.example.com/v1", "body": "hello" },
            { "url": "https://api.example.com/down" },
            { "url": "https://other.example/" },
        ]}),
    );
    assert_eq!((&done[0]["status"], &done[0]["body"]), (&json!(201), &json!("written")));
    assert!(done[1]["error"].as_str().expect("an error").contains("ConnectionRefused"), "{done:?}");
    assert!(done[2]["error"].as_str().expect("an error").contains("HttpRequestDenied"), "{done:?}");
    let asked = script.0.lock().expect("no panic");
    assert_eq!(asked.len(), 2);
    let first = &asked[0];
    assert_eq!((first.url.as_str(), first.body.as_slice()), ("https://api.example.com/v1", &b"hello"[..]));
    assert_eq!(first.message.as_deref(), Some("orders:m"));
    assert!(first.headers.iter().any(|(name, _)| name == "idempotency-key"), "{first:?}");
}

#[test]
fn a_version_in_the_shadow_sends_nothing_and_says_nothing_of_itself() {
    let gateway = Gateway::plain();
    let mut one = grant(&gateway.origin());
    let order = json!({ "steps": [{ "url": gateway.url("/ok") }], "ok": true }).to_string();
    let handler = load(&host(), &granted(vec![one.clone()], limits()));
    let shadow = handler.in_background();
    assert_eq!(run(&shadow, vec![work("m", &order)]), [Outcome::NotStarted]);
    assert_eq!((gateway.connections(), shadow.http_counts().refused_to_shadow), (0, 1));
    assert_eq!(run(&handler, vec![work("m", &order)]), [Outcome::Ok(None)]);
    one.shadow = true;
    let allowed = load(&host(), &granted(vec![one], limits())).in_background();
    assert_eq!(run(&allowed, vec![work("m", &order)]), [Outcome::Ok(None)]);
    assert_eq!(gateway.count(), 2);
}

#[test]
fn a_proxy_carries_requests_where_one_is_configured() {
    let gateway = Gateway::plain();
    let through =
        HttpLimits { proxy: Some(format!("http://me:pass@127.0.0.1:{}", gateway.port)), ..limits() };
    let handler = load(&host(), &granted(vec![grant("http://far.example:81")], through));
    assert_eq!(said(&handler, "http://far.example:81/ok"), "200");
    let seen = gateway.seen().remove(0);
    assert_eq!(seen.path, "http://far.example:81/ok");
    assert_eq!(seen.header("host"), Some("far.example:81"));
    assert_eq!(seen.header("proxy-authorization"), Some("Basic bWU6cGFzcw=="));
}
