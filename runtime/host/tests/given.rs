//! The clock and the randomness of a handler can be given to it.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::Outcome;
use pelton_host::{ClockSwitch, Grants, HandlerSpec, Protocol, RandomSwitch};
use std::sync::Arc;
use std::time::Duration;

const NOW: Duration = Duration::from_millis(1_796_040_000_123);

/// Shows sixteen random bytes, and is well when the time is `NOW`.
fn program() -> Vec<u8> {
    let now = NOW.as_nanos();
    wat::parse_str(format!(
        r#"(module
          (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
          (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start")
            (drop (call $random (i32.const 64) (i32.const 16)))
            (i32.store (i32.const 0) (i32.const 64))
            (i32.store (i32.const 4) (i32.const 16))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
            (drop (call $time (i32.const 0) (i64.const 1) (i32.const 128)))
            (if (i64.ne (i64.load (i32.const 128)) (i64.const {now}))
              (then (call $exit (i32.const 65))))))"#
    ))
    .unwrap()
}

fn ran(clock: ClockSwitch, random: RandomSwitch) -> (Outcome, String) {
    let (host, lines) = listening();
    let grants = Arc::new(Grants { clock, random, ..Grants::default() });
    let spec = HandlerSpec { protocol: Some(Protocol::Command), grants, ..HandlerSpec::default() };
    let outcome = one(&load(&host, &program(), &spec), "a");
    (outcome, lines.take().into_iter().map(|line| line.text).collect())
}

#[test]
fn it_is_told_the_time_that_is_given() {
    let (outcome, _) = ran(ClockSwitch::Given(NOW), RandomSwitch::Real);
    assert_eq!(outcome, Outcome::Ok(None));
    assert!(matches!(ran(ClockSwitch::Real, RandomSwitch::Real).0, Outcome::Reject { .. }));
}

#[test]
fn its_chance_is_the_same_each_time_where_that_is_given() {
    let bytes = |random| ran(ClockSwitch::Real, random).1;
    let seven = bytes(RandomSwitch::Given(7));
    assert!(!seven.is_empty());
    assert_eq!(seven, bytes(RandomSwitch::Given(7)));
    assert_ne!(seven, bytes(RandomSwitch::Given(8)));
    assert_ne!(bytes(RandomSwitch::Real), bytes(RandomSwitch::Real));
}
