//! Stores that may hold so much and no more.
#![allow(clippy::unwrap_used)]

mod common;

use common::deeds::Deed::*;
use common::deeds::{World, component_of};
use common::*;
use pelton_core::effects::Bucket;
use pelton_core::outcome::Outcome;
use pelton_host::{Grants, HandlerSpec, MemoryState, OutboxGrant, StateGrant, StoreBound, WasmHandler};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT: Bucket = Bucket(1);
const TOTALS: Bucket = Bucket(2);

/// A handler of these deeds, whose store `totals` may hold a hundred bytes.
fn handler(letters: &[(char, &[deeds::Deed])]) -> (Arc<WasmHandler>, MemoryState, Arc<Lines>) {
    let (host, lines) = listening();
    let state = MemoryState::default();
    let stores = vec![("default".to_owned(), DEFAULT), ("totals".to_owned(), TOTALS)];
    let grants = Grants {
        state: Some(StateGrant { home: Arc::new(state.clone()), stores }),
        state_bounds: vec![Arc::new(StoreBound::new("totals", TOTALS, 100))],
        outbox: Some(OutboxGrant { targets: vec![] }),
        ..Grants::default()
    };
    let timeout = Duration::from_secs(600);
    let spec = HandlerSpec { grants: Arc::new(grants), memory: 32 << 20, timeout, ..spec() };
    (load(&host, &component_of(World::Draft2, letters), &spec), state, lines)
}

/// What it says to a message, which commits.
fn does(handler: &Arc<WasmHandler>, state: &MemoryState, lines: &Lines, body: &str) -> String {
    match one(handler, body) {
        Outcome::Ok(Some(staged)) => state.commit(&staged.effects).unwrap(),
        Outcome::Ok(None) => {}
        other => panic!("a limit is an error to the handler: {other:?}"),
    }
    let lines = lines.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].text.clone()
}

#[test]
fn a_store_that_is_full_takes_nothing_that_makes_it_larger() {
    let (handler, state, lines) = handler(&[
        ('a', &[Open("totals"), SetZeros("a", 60)]),
        ('b', &[Open("totals"), SetZeros("b", 60)]),
        ('n', &[Open("totals"), SetZeros("a", 40), SetZeros("a", 59), Delete("none"), Add("n1", 1)]),
        ('d', &[Open("totals"), Delete("a")]),
        ('o', &[Open("default"), SetZeros("b", 600)]),
    ]);
    let does = |body: &str| does(&handler, &state, &lines, body);
    assert_eq!(does("a"), ".");
    // Of the key itself, and its value.
    let full = "!2 the store `totals` is full: it holds 61 bytes of at most 100; remove keys, or have \
                `max_bytes` of [stores.totals] raised";
    assert_eq!(does("b"), full);
    // What is there may be written again, and there is room for what is small.
    assert_eq!(does("n"), ". . . 1");
    assert_eq!(does("o"), ".", "another store");
    assert_eq!(does("d"), ".");
    // One that was full is measured again a moment later.
    let since = std::time::Instant::now();
    while does("b") != "." {
        assert!(since.elapsed() < Duration::from_secs(60), "there is room");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(state.contents(TOTALS).len(), 2);
}
