//! Handlers of `wasi:messaging` run unchanged, and those of other hosts' interfaces are told apart.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_host::{HandlerKind, HandlerSpec};
use std::time::Duration;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component from a core module, of the world `test:host/it` with these lines.
fn component_of(wat: &str, world: &str, more: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = Resolve::default();
    resolve.push_file("wit/messaging.wit").unwrap();
    let text = format!("package test:host;\nworld it {{ {world} }}\n{more}");
    let package = resolve.push_str("it.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

fn standard() -> Vec<u8> {
    let world =
        "import wasi:messaging/types@0.2.0-draft; export wasi:messaging/incoming-handler@0.2.0-draft;";
    component_of(include_str!("fixtures/standard.wat"), world, "")
}

#[test]
fn a_handler_of_the_standard_runs_unchanged() {
    let host = host();
    let handler = load(&host, &standard(), &spec());
    assert_eq!(handler.info().kind, HandlerKind::Standard);
    let mut outcomes = run(&handler, chunk(&["fine", "timeout", "other", "unreachable", "fine"]));
    let retry = |reason: &str| Outcome::Retry { reason: reason.to_owned(), after_ms: None };
    fault(&outcomes.remove(3), FaultKind::Trap);
    assert_eq!(
        outcomes,
        [Outcome::Ok(None), retry("timeout"), retry("the database is away"), Outcome::Ok(None)]
    );
    let many = vec!["fine"; 5_000];
    assert_eq!(run(&handler, chunk(&many)), vec![Outcome::Ok(None); 5_000]);
}

/// Bytes of this process that are resident.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn what_the_host_keeps_for_a_guest_counts_against_its_memory() {
    let host = host();
    let patient = HandlerSpec { timeout: Duration::from_secs(600), memory: 16 << 20, ..spec() };
    let handler = load(&host, &standard(), &patient);
    let before = resident();
    for way in ["1", "2", "3", "4", "5"] {
        let reason = fault(&one(&handler, way), FaultKind::Memory);
        assert!(reason.contains("that the host keeps for it"), "{way}: {reason}");
        assert_eq!(one(&handler, "fine"), Outcome::Ok(None));
    }
    fault(&one(&handler, "6"), FaultKind::Trap);
    assert_eq!(one(&handler, "7"), Outcome::Ok(None));
    assert!(handler.memory_used() < 20 << 20, "{}", handler.memory_used());
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
}

#[test]
fn a_handler_that_keeps_its_messages_starts_anew_when_its_memory_is_full() {
    let handler = load(&host(), &standard(), &spec());
    let kept = format!("k{}", "x".repeat(400_000));
    let before = resident();
    // The messages themselves are four megabytes each time.
    for _ in 0..40 {
        assert_eq!(run(&handler, chunk(&[kept.as_str(); 10])), vec![Outcome::Ok(None); 10]);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
    assert!(handler.memory_used() <= 16 << 20, "{}", handler.memory_used());
}

#[test]
fn handlers_of_other_hosts_are_told_apart() {
    let wat = "(module (memory (export \"memory\") 1) (func (export \"cabi_realloc\") (param i32 i32 i32 \
        i32) (result i32) i32.const 0)
        (func (export \"wasmcloud:messaging/handler@0.2.0#handle-message\")))";
    let other = "package wasmcloud:messaging@0.2.0 { interface handler { handle-message: func(); } }";
    let bytes = component_of(wat, "export wasmcloud:messaging/handler@0.2.0;", other);
    let error = host().load_bytes("orders", &bytes, &spec()).map(drop).unwrap_err().to_string();
    assert!(error.contains("it was built for wasmCloud"), "{error}");
    assert!(error.contains("build it against `wasi:messaging@0.2.0-draft`"), "{error}");
}

#[test]
fn the_standards_producer_takes_a_grant() {
    let wat = include_str!("fixtures/standard.wat").replace(
        "(memory (export",
        "(import \"wasi:messaging/producer@0.2.0-draft\" \"send\" (func (param i32 i32 i32 i32 i32))) \
         (memory (export",
    );
    let world = "import wasi:messaging/producer@0.2.0-draft; import wasi:messaging/types@0.2.0-draft; \
        export wasi:messaging/incoming-handler@0.2.0-draft;";
    let bytes = component_of(&wat, world, "");
    let error = host().load_bytes("orders", &bytes, &spec()).map(drop).unwrap_err().to_string();
    for words in [
        "imports `wasi:messaging/producer@0.2.0-draft`, which its pipeline does not grant",
        "[pipelines.orders.grants.outbox]",
    ] {
        assert!(error.contains(words), "{error}");
    }
}
