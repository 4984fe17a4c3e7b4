//! Which messages share an instance, and that many handlers share the process.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::Outcome;
use pelton_host::{HandlerSpec, Host, HostOptions, Isolation, WasmHandler};
use std::sync::Arc;

/// How many calls the instances had seen, for each message.
fn calls(handler: &WasmHandler, messages: usize) -> Vec<u64> {
    let outcomes = run(handler, chunk(&vec!["n"; messages]));
    let count = |outcome: &Outcome| match outcome {
        Outcome::Retry { after_ms: Some(calls), .. } => *calls,
        other => panic!("{other:?}"),
    };
    outcomes.iter().map(count).collect()
}

fn handler(host: &Host, isolation: Isolation) -> Arc<WasmHandler> {
    load(host, chaos(), &HandlerSpec { isolation, ..spec() })
}

#[test]
fn a_reused_instance_stays_warm_over_chunks_until_it_fails() {
    let handler = handler(&host(), Isolation::Reuse);
    assert_eq!(calls(&handler, 2), [1, 2]);
    assert_eq!(calls(&handler, 2), [3, 4]);
    run(&handler, chunk(&["u"]));
    assert_eq!(calls(&handler, 1), [1]);
}

#[test]
fn a_chunk_has_an_instance_of_its_own() {
    let handler = handler(&host(), Isolation::Batch);
    assert_eq!(calls(&handler, 3), [1, 2, 3]);
    assert_eq!(calls(&handler, 1), [1]);
}

#[test]
fn a_message_has_an_instance_of_its_own() {
    let handler = handler(&host(), Isolation::Message);
    assert_eq!(calls(&handler, 3), [1, 1, 1]);
}

#[test]
fn an_instance_is_replaced_after_ten_thousand_calls() {
    let handler = handler(&host(), Isolation::Reuse);
    let calls = calls(&handler, 10_002);
    assert_eq!((calls[9_999], calls[10_000]), (10_000, 1));
}

#[test]
fn pipelines_share_no_instance() {
    let host = host();
    let (first, second) = (handler(&host, Isolation::Reuse), handler(&host, Isolation::Reuse));
    assert_eq!(calls(&first, 3), [1, 2, 3]);
    assert_eq!(calls(&second, 1), [1]);
}

#[test]
fn more_handlers_than_room_take_turns() {
    let host = Host::new(HostOptions { max_instances: 2, ..options() }).unwrap();
    let handlers: Vec<_> = (0..8).map(|_| handler(&host, Isolation::Reuse)).collect();
    block_on(async {
        let runs = handlers.iter().cycle().take(40).map(|h| {
            let chunk = handle(h, chunk(&["a", "a"]));
            async move { assert_eq!(chunk.await, [Outcome::Ok(None), Outcome::Ok(None)]) }
        });
        let mut tasks: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        runs.for_each(|run| tasks.push(Box::pin(run)));
        for task in tasks {
            task.await;
        }
    });
}

#[test]
fn handlers_side_by_side_contend_for_room_without_deadlock() {
    let host = Host::new(HostOptions { max_instances: 2, ..options() }).unwrap();
    let handlers: Vec<_> = (0..6).map(|_| handler(&host, Isolation::Reuse)).collect();
    std::thread::scope(|scope| {
        for handler in &handlers {
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(run(handler, chunk(&["a", "p"])), [Outcome::Ok(None), Outcome::Ok(None)]);
                }
            });
        }
    });
}
