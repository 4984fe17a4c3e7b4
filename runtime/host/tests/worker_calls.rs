//! Version 2 of the worker protocol: what a worker asks for before it answers, good and hostile.
#![allow(clippy::unwrap_used)]

mod common;

use common::worker::{Deed, worker_of};
use common::*;
use pelton_core::effects::{Bucket, Effects, Target};
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_host::{
    Grants, HandlerKind, HandlerSpec, HttpAnswer, HttpError, HttpGrant, HttpRequest, HttpResponse,
    HttpScript, HttpSwitch, HttpTarget, MemoryState, OutboxGrant, Outlet, PrivateAddresses, Protocol,
    StateGrant, WasmHandler,
};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT: Bucket = Bucket(1);

fn grants(state: &MemoryState) -> Grants {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let outlet = Outlet { name: "out".to_owned(), target: Target(7), refuses: Arc::new(|_| None) };
    Grants {
        config: Some(vec![pair("region", "eu"), pair("key", "hunter22-hunter22")]),
        secrets: vec!["hunter22-hunter22".to_owned()],
        state: Some(StateGrant {
            home: Arc::new(state.clone()),
            stores: vec![("default".to_owned(), DEFAULT)],
        }),
        outbox: Some(OutboxGrant { targets: vec![outlet] }),
        ..Grants::default()
    }
}

fn loaded(letters: &[(char, &[Deed])], grants: Grants) -> (Arc<WasmHandler>, Arc<Lines>) {
    let (host, lines) = listening();
    let spec = HandlerSpec { grants: Arc::new(grants), ..spec() };
    (load(&host, &worker_of(&["pelton_worker_2"], letters), &spec), lines)
}

/// A message that is never slow.
fn patient(letters: &[(char, &[Deed])], grants: Grants) -> (Arc<WasmHandler>, Arc<Lines>) {
    let (host, lines) = listening();
    let spec = HandlerSpec { grants: Arc::new(grants), timeout: Duration::from_secs(600), ..spec() };
    (load(&host, &worker_of(&["pelton_worker_2"], letters), &spec), lines)
}

fn said(lines: &Lines) -> Vec<String> {
    lines.take().into_iter().map(|line| line.text).collect()
}

fn effects(outcome: &Outcome) -> &Effects {
    match outcome {
        Outcome::Ok(Some(staged)) => &staged.effects,
        other => panic!("nothing is staged: {other:?}"),
    }
}

#[test]
fn a_worker_asks_for_everything_that_is_granted() {
    use Deed::Call;
    let state = MemoryState::default();
    state.set(DEFAULT, "old", "x");
    let (handler, lines) = patient(
        &[
            (
                's',
                &[
                    Call("state.get", r#"{"store":"default","key":"k"}"#),
                    Call("state.set", r#"{"store":"default","key":"k","value":"b25l"}"#),
                    Call("state.get", r#"{"store":"default","key":"k"}"#),
                    Call("state.increment", r#"{"store":"default","key":"n","by":-3}"#),
                    Call("state.delete", r#"{"store":"default","key":"old"}"#),
                    Call("state.list", r#"{"store":"default","after":null,"max":1}"#),
                    Call("state.list", r#"{"store":"default","after":"k","max":10}"#),
                ],
            ),
            (
                'o',
                &[Call(
                    "outbox.send",
                    concat!(
                        r#"{"target":"out","key":"aw==","headers":[["h","dg=="]],"#,
                        r#""body":"Yg==","delay_ms":5,"topic":"t"}"#
                    ),
                )],
            ),
            ('c', &[Call("config.get", r#"{"name":"region"}"#), Call("config.get", r#"{"name":"no"}"#)]),
        ],
        grants(&state),
    );
    assert_eq!(handler.info().kind, HandlerKind::Program(Protocol::Worker2));
    let outcome = one(&handler, "s");
    let words = [
        "result 14",
        r#"{"value":null}"#,
        "result 2",
        "{}",
        "result 16",
        r#"{"value":"b25l"}"#,
        "result 12",
        r#"{"value":-3}"#,
        "result 2",
        "{}",
        "result 26",
        r#"{"keys":["k"],"more":true}"#,
        "result 27",
        r#"{"keys":["n"],"more":false}"#,
    ];
    assert_eq!(said(&lines), words);
    state.commit(effects(&outcome)).unwrap();
    let committed = [(b"k".to_vec(), b"one".to_vec()), (b"n".to_vec(), b"-3".to_vec())];
    assert_eq!(state.contents(DEFAULT), committed);
    let outcome = one(&handler, "o");
    let sent = &effects(&outcome).messages[0];
    assert_eq!(said(&lines), ["result 41".to_owned(), format!("{{\"id\":\"{}\"}}", sent.id)]);
    assert_eq!((sent.target, sent.key.as_deref(), &*sent.body), (Target(7), Some(&b"k"[..]), &b"b"[..]));
    assert_eq!((sent.delay_ms, sent.topic.as_deref(), sent.headers.len()), (Some(5), Some("t"), 1));
    assert_eq!(one(&handler, "c"), Outcome::Ok(None));
    assert_eq!(said(&lines), ["result 14", r#"{"value":"eu"}"#, "result 14", r#"{"value":null}"#]);
}

/// Answers with what it was asked.
struct Echo;

impl HttpScript for Echo {
    fn answer(&self, request: &HttpRequest) -> HttpAnswer {
        let end = match &*request.url {
            "https://pay.example/slow" => {
                Err(HttpError { code: "connection-timeout".to_owned(), words: "it is away".to_owned() })
            }
            _ => Ok(HttpResponse {
                status: 201,
                headers: vec![("x-echo".to_owned(), request.method.clone().into_bytes())],
                body: request.body.clone(),
            }),
        };
        HttpAnswer { delay: Duration::ZERO, end }
    }
}

#[test]
fn a_worker_sends_requests_of_http() {
    use Deed::Call;
    let grant = HttpGrant {
        to: HttpTarget::parse("https://pay.example").unwrap(),
        methods: Vec::new(),
        headers: Vec::new(),
        idempotency: None,
        private: PrivateAddresses::Refused,
        shadow: false,
    };
    let grants = Grants {
        http: vec![grant],
        http_switch: HttpSwitch::Scripted(Arc::new(Echo)),
        ..Grants::default()
    };
    let (handler, lines) = patient(
        &[(
            'a',
            &[
                Call(
                    "http.send",
                    concat!(
                        r#"{"method":"POST","url":"https://pay.example/charges","headers":[["a","b"]],"#,
                        r#""body":"Ym9keQ==","timeout_ms":5000,"message":null}"#
                    ),
                ),
                Call("http.send", r#"{"method":"GET","url":"https://pay.example/slow","headers":[]}"#),
                Call("http.send", r#"{"method":"GET","url":"https://other.example/","headers":[]}"#),
                Call(
                    "http.send",
                    r#"{"method":"GET","url":"https://pay.example/","headers":[["a","b\nc"]]}"#,
                ),
            ],
        )],
        grants,
    );
    assert_eq!(one(&handler, "a"), Outcome::Ok(None), "a request is nothing to commit");
    let said = said(&lines);
    assert_eq!(said[1], r#"{"body":"Ym9keQ==","headers":[["x-echo","POST"]],"status":201}"#);
    assert!(said[2].starts_with("error connection-timeout "), "{said:?}");
    assert!(said[4].starts_with("error HTTP-request-denied "), "{said:?}");
    assert!(said[6].starts_with("error HTTP-request-denied "), "{said:?}");
}

#[test]
fn what_cannot_be_answered_is_an_error_to_go_on_from() {
    use Deed::Call;
    let ungranted: &[Deed] = &[
        Call("state.get", r#"{"store":"default","key":"k"}"#),
        Call("config.all", "{}"),
        Call("outbox.send", r#"{"target":"out","body":""}"#),
        Call("http.send", r#"{"method":"GET","url":"https://pay.example/"}"#),
    ];
    let (handler, lines) = patient(&[('n', ungranted)], Grants::default());
    assert_eq!(one(&handler, "n"), Outcome::Ok(None));
    let words = [
        "error not-granted 28",
        "the pipeline grants no state",
        "error not-granted 36",
        "the pipeline grants no configuration",
        "error not-granted 29",
        "the pipeline grants no outbox",
        "error not-granted 27",
        "the pipeline grants no HTTP",
    ];
    assert_eq!(said(&lines), words);
    let bad: [(char, Deed, &str, &str); 12] = [
        ('a', Call("state.got", "{}"), "refused", "there is no call `state.got`"),
        ('b', Call("state.get", "{"), "refused", "the text of the call is no JSON: EOF"),
        ('c', Call("state.get", "[]"), "refused", "must be a JSON object"),
        ('d', Call("state.get", r#"{"store":1,"key":"k"}"#), "refused", "`store` must be a text"),
        ('e', Call("state.get", r#"{"store":"default"}"#), "refused", "`key` is missing"),
        ('f', Call("state.get", r#"{"store":"others","key":"k"}"#), "not-granted", "no store `others`"),
        (
            'g',
            Call("state.set", r#"{"store":"default","key":"k","value":"?"}"#),
            "refused",
            "text in base64",
        ),
        ('h', Call("state.get", r#"{"store":"default","key":""}"#), "refused", "1 to 512 bytes"),
        ('i', Call("outbox.send", r#"{"target":"no","body":""}"#), "unknown-target", "no target `no`"),
        (
            'j',
            Call("outbox.send", r#"{"target":"out","body":"","headers":[["a"]]}"#),
            "refused",
            "list of pairs",
        ),
        (
            'k',
            Call("outbox.send", r#"{"target":"out","body":"","delay_ms":-1}"#),
            "refused",
            "whole number",
        ),
        (
            'l',
            Call("state.increment", r#"{"store":"default","key":"k","by":1.5}"#),
            "refused",
            "whole number",
        ),
    ];
    let deeds: Vec<(char, Vec<Deed>)> =
        bad.iter().map(|(letter, deed, ..)| (*letter, vec![*deed])).collect();
    let letters: Vec<(char, &[Deed])> = deeds.iter().map(|(letter, deeds)| (*letter, &**deeds)).collect();
    let (handler, lines) = patient(&letters, grants(&MemoryState::default()));
    for (letter, _, code, words) in bad {
        assert_eq!(one(&handler, &letter.to_string()), Outcome::Ok(None), "{letter}");
        let said = said(&lines).join("\n");
        assert!(said.starts_with(&format!("error {code} ")) && said.contains(words), "{letter}: {said}");
    }
}

#[test]
fn what_breaks_the_protocol_fails_its_message_and_leaves_nothing() {
    const SET: &str = r#"{"store":"default","key":"k","value":"b25l"}"#;
    use Deed::{Call, Exit, Print, Raw, Spin, Trap};
    let state = MemoryState::default();
    let set = Call("state.set", SET);
    let bad: [(char, &[Deed], FaultKind, &str); 9] = [
        (
            'a',
            &[set, Print("call x 0\n\n")],
            FaultKind::Trap,
            "before it had read the answer to its call `x`",
        ),
        ('b', &[set, Print("call x 1\nabc\n")], FaultKind::Trap, "call has a text of another length"),
        ('c', &[set, Print("call x\n")], FaultKind::Trap, "which is no answer"),
        ('d', &[set, Raw("call state.get 2\n{}")], FaultKind::Trap, "asked for the next message"),
        ('e', &[set, Print("ok\n"), Call("state.get", "{}")], FaultKind::Trap, "after its answer"),
        ('f', &[set, Trap], FaultKind::Trap, "unreachable"),
        ('g', &[set, Print("call x 0\n\n"), Exit], FaultKind::Trap, "exit code 0 before it answered"),
        ('h', &[set, Spin], FaultKind::Timeout, "timed out"),
        ('i', &[set, Raw("call x 99999999\n{}")], FaultKind::Trap, "asked for the next message"),
    ];
    let mut letters: Vec<(char, &[Deed])> =
        bad.iter().map(|(letter, deeds, ..)| (*letter, *deeds)).collect();
    let get = [Call("state.get", r#"{"store":"default","key":"k"}"#)];
    letters.push(('z', &get));
    let (handler, lines) = loaded(&letters, grants(&state));
    for (letter, _, kind, words) in bad {
        let said = fault(&one(&handler, &letter.to_string()), kind);
        assert!(said.contains(words), "{letter}: {said}");
        let outcome = one(&handler, "z");
        assert_eq!((effects(&outcome).reads.len(), effects(&outcome).writes.len()), (1, 0), "{letter}");
        assert!(lines.take().iter().any(|line| line.text == r#"{"value":null}"#), "{letter}");
    }
    assert!(state.contents(DEFAULT).is_empty());
}

#[test]
fn a_retry_stages_nothing_and_the_next_message_begins_anew() {
    const COUNT: Deed = Deed::Call("state.increment", r#"{"store":"default","key":"n","by":1}"#);
    let state = MemoryState::default();
    // Its own answer comes before the `ok` that is written last, so it must not be.
    let letters: [(char, &[Deed]); 2] = [('a', &[COUNT]), ('t', &[COUNT, Deed::Trap])];
    let (handler, _) = patient(&letters, grants(&state));
    let outcomes = run(&handler, chunk(&["a", "t", "a", "a"]));
    for outcome in [&outcomes[0], &outcomes[2], &outcomes[3]] {
        assert_eq!(effects(outcome).writes.len(), 1);
        state.commit(effects(outcome)).unwrap();
    }
    assert_eq!(state.contents(DEFAULT), [(b"n".to_vec(), b"3".to_vec())]);
}

#[test]
fn a_mark_says_the_version() {
    let none: [(char, &[Deed]); 0] = [];
    let kind = |marks: &[&str]| {
        let bytes = worker_of(marks, &none);
        pelton_host::inspect(&bytes, 1 << 20, None).unwrap().kind
    };
    for (marks, protocol) in [
        (&["pelton_worker"][..], Protocol::Worker),
        (&["pelton_worker_2"], Protocol::Worker2),
        (&["pelton_worker", "pelton_worker_2"], Protocol::Worker2),
        (&["pelton_worker_batch_2"], Protocol::WorkerBatch2),
        (&["pelton_worker", "pelton_worker_batch", "pelton_worker_2"], Protocol::WorkerBatch2),
    ] {
        assert_eq!(kind(marks), HandlerKind::Program(protocol), "{marks:?}");
    }
    // One of version 1 has no calls.
    let letters: [(char, &[Deed]); 1] = [('a', &[Deed::Call("config.all", "{}")])];
    let bytes = worker_of(&["pelton_worker"], &letters);
    let handler = load(&host(), &bytes, &spec());
    assert!(fault(&one(&handler, "a"), FaultKind::Trap).contains("`call config.all 2` to standard output"));
}

#[test]
fn a_secret_is_in_no_line_and_in_no_reason() {
    let letters: [(char, &[Deed]); 5] = [
        ('a', &[Deed::Call("config.get", r#"{"name":"key"}"#)]),
        ('b', &[Deed::Show("hunter22-"), Deed::Show("hunter22 and more\n")]),
        ('c', &[Deed::Print("reject 17\nhunter22-hunter22\n"), Deed::Exit]),
        ('d', &[Deed::Print("my key is hunter22-hunter22\n")]),
        ('e', &[Deed::Show("panicked: no hunter22-hunter22 here\n"), Deed::Trap]),
    ];
    let (handler, lines) = loaded(&letters, grants(&MemoryState::default()));
    let mut all = String::new();
    for letter in ["a", "b", "c", "d", "e"] {
        write!(all, "{:?}", one(&handler, letter)).unwrap();
    }
    let lines = lines.take();
    write!(all, "{lines:?}").unwrap();
    assert!(!all.contains("hunter22"), "{all}");
    assert!(lines.iter().any(|line| line.text == r#"{"value":"[secret]"}"#), "{lines:?}");
    assert!(lines.iter().any(|line| line.text == "[secret] and more"), "{lines:?}");
    for words in ["reason: \"[secret]\"", "`my key is [secret]`", "no [secret] here"] {
        assert!(all.contains(words), "{words}: {all}");
    }
}
