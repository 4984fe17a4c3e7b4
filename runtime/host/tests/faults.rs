//! Handlers that misbehave: each ends as its own kind of fault, and the next message is fine.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::Handler;
use pelton_host::{HandlerSpec, WasmHandler};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn chaos_handler() -> Arc<WasmHandler> {
    load(&host(), chaos(), &spec())
}

/// The message fails like that, and a message after it is handled.
fn fails(handler: &WasmHandler, body: &str, kind: FaultKind) -> String {
    let reason = fault(&one(handler, body), kind);
    assert_eq!(one(handler, "a"), Outcome::Ok(None), "after {body}");
    reason
}

#[test]
fn answers_become_outcomes() {
    let handler = chaos_handler();
    let outcomes = run(&handler, chunk(&["a", "r", "j", "a"]));
    let retry = Outcome::Retry { reason: "try again\\x1b[31m".to_owned(), after_ms: Some(1500) };
    assert_eq!(
        outcomes,
        [Outcome::Ok(None), retry, Outcome::Reject { reason: "never".to_owned() }, Outcome::Ok(None)]
    );
}

#[test]
fn a_trap_has_its_message_and_the_guests_frames() {
    let reason = fails(&chaos_handler(), "u", FaultKind::Trap);
    assert!(reason.contains("unreachable"), "{reason}");
    assert!(reason.contains("\n  0: chaos!handle"), "{reason}");
}

#[test]
fn deep_recursion_is_a_trap_with_few_frames() {
    let reason = fails(&chaos_handler(), "d", FaultKind::Trap);
    assert!(reason.contains("call stack exhausted"), "{reason}");
    assert!(reason.contains("chaos!recurse"), "{reason}");
    assert!(reason.lines().count() < 25 && reason.len() <= 4096, "{reason}");
}

#[test]
fn an_endless_loop_ends_at_its_deadline_and_shows_where_it_was() {
    let handler = chaos_handler();
    let start = Instant::now();
    let reason = fails(&handler, "l", FaultKind::Timeout);
    assert!(start.elapsed() >= Duration::from_millis(300), "too early");
    assert!(start.elapsed() < Duration::from_secs(5), "too late");
    assert!(reason.contains("300ms") && reason.contains("chaos!spin"), "{reason}");
}

#[test]
fn a_long_sleep_in_a_host_call_ends_at_the_deadline() {
    let start = Instant::now();
    let reason = fails(&chaos_handler(), "s", FaultKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(5), "too late");
    assert!(reason.contains("host call"), "{reason}");
}

#[test]
fn a_short_sleep_is_fine() {
    assert_eq!(one(&chaos_handler(), "p"), Outcome::Ok(None));
}

#[test]
fn memory_beyond_the_limit_is_refused_and_named() {
    let reason = fails(&chaos_handler(), "m", FaultKind::Memory);
    assert!(reason.contains("the limit is 16777216 bytes") && reason.contains("unreachable"), "{reason}");
}

#[test]
fn a_table_beyond_the_limit_is_refused_and_named() {
    let reason = fails(&chaos_handler(), "t", FaultKind::Memory);
    assert!(reason.contains("table elements was refused"), "{reason}");
}

#[test]
fn a_trap_after_a_message_that_was_refused_memory_is_only_a_trap() {
    let handler = chaos_handler();
    fault(&one(&handler, "m"), FaultKind::Memory);
    fault(&one(&handler, "u"), FaultKind::Trap);
}

#[test]
fn a_flood_of_handles_is_a_trap() {
    fails(&chaos_handler(), "h", FaultKind::Trap);
}

#[test]
fn a_gigabyte_of_random_bytes_is_a_trap() {
    let reason = fails(&chaos_handler(), "y", FaultKind::Trap);
    assert!(reason.contains("exceeds limit"), "{reason}");
}

#[test]
fn exit_is_a_trap_that_says_so() {
    let reason = fails(&chaos_handler(), "x", FaultKind::Trap);
    assert!(reason.contains("the handler called exit(1)"), "{reason}");
}

#[test]
fn a_huge_reason_is_cut() {
    match one(&chaos_handler(), "b") {
        Outcome::Reject { reason } => {
            assert!(reason.starts_with("AAAA") && reason.len() < 4200, "{} bytes", reason.len());
            assert!(reason.ends_with("bytes more)"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_nonsense_answer_is_a_trap() {
    fails(&chaos_handler(), "o", FaultKind::Trap);
}

#[test]
fn only_the_failing_message_of_a_chunk_fails() {
    let outcomes = run(&chaos_handler(), chunk(&["a", "u", "a", "d", "a"]));
    assert_eq!(
        (&outcomes[0], &outcomes[2], &outcomes[4]),
        (&Outcome::Ok(None), &Outcome::Ok(None), &Outcome::Ok(None))
    );
    fault(&outcomes[1], FaultKind::Trap);
    fault(&outcomes[3], FaultKind::Trap);
}

#[test]
fn what_follows_a_failure_in_its_lane_is_not_started() {
    let work = vec![in_lane("a", 1), in_lane("j", 1), in_lane("a", 2), in_lane("a", 1), work("a")];
    let outcomes = run(&chaos_handler(), work);
    let rejected = Outcome::Reject { reason: "never".to_owned() };
    assert_eq!(
        outcomes,
        [Outcome::Ok(None), rejected, Outcome::Ok(None), Outcome::NotStarted, Outcome::Ok(None)]
    );
}

#[test]
fn a_slow_message_does_not_keep_its_chunk_waiting() {
    let handler = load(&host(), chaos(), &HandlerSpec { timeout: Duration::from_secs(600), ..spec() });
    for slow in ["l", "s"] {
        let (sender, reports) = std::sync::mpsc::channel();
        let done = handler
            .handle(chunk(&["a", slow, "a"]), Box::new(move |_, outcomes| sender.send(outcomes).unwrap()));
        // What is done and what has not started is known while the slow one goes on.
        let mut first = reports.recv_timeout(Duration::from_secs(20)).unwrap();
        first.sort_by_key(|(at, _)| *at);
        assert_eq!(first, [(0, Outcome::Ok(None)), (2, Outcome::NotStarted)]);
        handler.interrupt();
        block_on(done);
        assert_eq!(reports.try_recv().unwrap(), [(1, Outcome::Interrupted)]);
        assert_eq!(one(&handler, "a"), Outcome::Ok(None));
    }
}

#[test]
fn an_empty_chunk_ends() {
    assert_eq!(run(&chaos_handler(), Vec::new()), []);
}
