//! Workers and commands, good and hostile: what becomes of the message at hand, and that the next ones are
//! handled.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_host::{HandlerKind, HandlerSpec, LoadError, Protocol, WasmHandler};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PROGRAM: &str = include_str!("fixtures/program.wat");

/// What a program does with a message whose body is this letter; `ok` with every other.
const DEEDS: [(char, &str); 19] = [
    ('2', "(call $write (i32.const 1) (i32.const 64) (i32.const 6))"),
    ('h', "(call $write (i32.const 1) (i32.const 70) (i32.const 6))"),
    ('r', "(call $retry)"),
    ('j', "(call $write (i32.const 1) (i32.const 98) (i32.const 12))"),
    ('n', ""),
    ('p', "(call $write (i32.const 1) (i32.const 76) (i32.const 4)) (call $words)"),
    ('0', "(call $words) (call $exit (i32.const 0))"),
    ('3', "(call $words) (call $exit (i32.const 3))"),
    ('a', "(call $ok) (call $exit (i32.const 0))"),
    ('b', "(call $ok) (call $exit (i32.const 3))"),
    ('m', "(call $write (i32.const 1) (i32.const 76) (i32.const 14)) (call $exit (i32.const 0))"),
    ('s', "(call $spin)"),
    ('z', "(call $sleep)"),
    ('y', "(call $ok) (call $sleep)"),
    ('f', "(call $flood (i32.const 1))"),
    ('F', "(call $flood (i32.const 2))"),
    ('g', "(call $grow)"),
    ('t', "(call $words) (unreachable)"),
    ('d', "(drop (call $deep (i32.const 1)))"),
];

fn program(start: &str) -> Vec<u8> {
    wat::parse_str(PROGRAM.replace("BODY", start)).unwrap()
}

/// Reads a request, whose last byte but one is the body's last, does what it says, and reads on.
fn chaos_worker() -> Vec<u8> {
    let deeds: String =
        DEEDS.iter().map(|(letter, deed)| when(*letter, &format!("{deed} (br $next)"))).collect();
    program(&format!(
        "(loop $next
           (local.set $what (call $read))
           (if (i32.eqz (local.get $what)) (then (return)))
           (local.set $what (i32.load8_u (i32.add (local.get $what) (i32.const 1022))))
           {deeds} (call $ok) (br $next))"
    ))
}

fn when(letter: char, deed: &str) -> String {
    format!("(if (i32.eq (local.get $what) (i32.const {})) (then {deed}))", u32::from(letter))
}

fn as_a(protocol: Protocol) -> HandlerSpec {
    HandlerSpec { protocol: Some(protocol), memory: 4 << 20, ..spec() }
}

fn worker() -> Arc<WasmHandler> {
    load(&host(), &chaos_worker(), &as_a(Protocol::Worker))
}

/// The reason of a trap with this body, after which the next message is handled.
fn trap(handler: &WasmHandler, body: &str) -> String {
    let mut outcomes = run(handler, chunk(&["ok", body, "ok"]));
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Ok(None), &Outcome::Ok(None)), "{body}");
    fault(&outcomes.remove(1), FaultKind::Trap)
}

#[test]
fn a_worker_answers_one_message_after_another() {
    let handler = worker();
    assert_eq!(handler.info().kind, HandlerKind::Program(Protocol::Worker));
    let bodies: Vec<&str> = std::iter::repeat_n(["ok", "r", "j"], 300).flatten().collect();
    for (body, outcome) in bodies.iter().zip(run(&handler, chunk(&bodies))) {
        let wanted = match *body {
            "r" => Outcome::Retry { reason: "try later".to_owned(), after_ms: Some(250) },
            "j" => Outcome::Reject { reason: "no".to_owned() },
            _ => Outcome::Ok(None),
        };
        assert_eq!(outcome, wanted, "{body}");
    }
}

#[test]
fn what_breaks_the_protocol_fails_its_message_and_no_other() {
    let handler = worker();
    for (body, words) in [
        ("2", "wrote `ok` to standard output after its answer"),
        ("h", "wrote `hello` to standard output, which is no answer"),
        ("n", "asked for the next message before it answered this one"),
        ("0", "ended with exit code 0 before it answered:\nlast words"),
        ("3", "ended with exit code 3 before it answered:\nlast words"),
        ("b", "ended with exit code 3 after it answered"),
        ("m", "ended with exit code 0 before it answered"),
        ("p", "asked for the next message before it answered this one:\nlast words"),
        ("f", "which is no answer"),
        ("t", "unreachable"),
        ("d", "call stack exhausted"),
    ] {
        let said = trap(&handler, body);
        assert!(said.contains(words), "{body}: {said}");
    }
}

#[test]
fn a_worker_may_end_after_its_answer() {
    assert_eq!(run(&worker(), chunk(&["a", "ok", "a", "a"])), vec![Outcome::Ok(None); 4]);
}

#[test]
fn a_worker_meets_its_limits() {
    let handler = worker();
    for body in ["s", "z", "y", "F"] {
        let began = Instant::now();
        let outcomes = run(&handler, chunk(&[body]));
        fault(&outcomes[0], FaultKind::Timeout);
        assert!(began.elapsed() < Duration::from_secs(10), "{body}: {:?}", began.elapsed());
        assert_eq!(one(&handler, "ok"), Outcome::Ok(None));
    }
    assert!(fault(&one(&handler, "g"), FaultKind::Memory).contains("the limit is 4194304 bytes"));
    assert_eq!(one(&handler, "ok"), Outcome::Ok(None));
    assert!(handler.memory_used() <= 4 << 20);
}

#[test]
fn a_worker_that_does_not_wait_for_messages_is_not_loaded() {
    let host = host();
    for (start, words) in [
        ("(call $ok)", "wrote `ok` to standard output before it was given a message"),
        ("(call $words)", "ended with exit code 0 before it asked for a message:\nlast words"),
        ("(call $exit (i32.const 7))", "exit code 7 before it asked"),
        ("(call $spin)", "timed out"),
        ("(call $sleep)", "timed out"),
        ("(call $grow)", "was refused"),
        ("(unreachable)", "unreachable"),
    ] {
        let error =
            host.load_bytes("orders", &program(start), &as_a(Protocol::Worker)).map(drop).unwrap_err();
        assert!(matches!(error, LoadError::Start(_) | LoadError::NotStarted(_)), "{start}: {error}");
        assert!(error.to_string().contains(words), "{start}: {error}");
    }
}

#[test]
fn interrupted_workers_are_run_again() {
    let handler = worker();
    let waiting = Arc::clone(&handler);
    let ended = std::thread::spawn(move || run(&waiting, chunk(&["z"])));
    while !ended.is_finished() {
        pelton_core::ports::Handler::interrupt(&*handler);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let outcome = ended.join().unwrap().remove(0);
    assert!(matches!(outcome, Outcome::Interrupted | Outcome::NotStarted), "{outcome:?}");
    assert_eq!(one(&handler, "ok"), Outcome::Ok(None));
}

#[test]
fn a_batch_is_answered_message_by_message() {
    // `2` gives both answers of a request for two; a request for one that it is asked later gets one too
    // many.
    let handler = load(&host(), &chaos_worker(), &as_a(Protocol::WorkerBatch));
    assert_eq!(run(&handler, chunk(&["x", "2"])), vec![Outcome::Ok(None); 2]);
    assert_eq!(run(&handler, chunk(&["x", "ok"])), vec![Outcome::BatchFault; 2]);
    assert!(fault(&one(&handler, "2"), FaultKind::Trap).contains("after its answer"));
}

/// A command that does what its input says.
fn chaos_command() -> Vec<u8> {
    let deeds = [
        ('r', "(call $words) (call $exit (i32.const 75))"),
        ('j', "(call $words) (call $exit (i32.const 65))"),
        ('q', "(call $exit (i32.const 65))"),
        ('3', "(call $words) (call $exit (i32.const 3))"),
        ('s', "(call $spin)"),
        ('z', "(call $sleep)"),
        ('F', "(call $flood (i32.const 2))"),
        ('g', "(call $grow)"),
        ('t', "(unreachable)"),
    ];
    let deeds: String = deeds.iter().map(|(letter, deed)| when(*letter, deed)).collect();
    program(&format!(
        "(drop (call $read)) (local.set $what (i32.load8_u (i32.const 1024)))
         {deeds} (call $write (i32.const 1) (i32.const 1024) (call $read))"
    ))
}

#[test]
fn a_command_answers_by_its_exit_code() {
    let (host, lines) = listening();
    let handler = load(&host, &chaos_command(), &as_a(Protocol::Command));
    let outcomes = run(&handler, chunk(&["ok", "r", "j", "q", "ok"]));
    let reason = "last words".to_owned();
    assert_eq!(outcomes[1], Outcome::Retry { reason: reason.clone(), after_ms: None });
    assert_eq!(outcomes[2], Outcome::Reject { reason });
    assert_eq!(outcomes[3], Outcome::Reject { reason: "exit code 65".to_owned() });
    assert_eq!((&outcomes[0], &outcomes[4]), (&Outcome::Ok(None), &Outcome::Ok(None)));
    assert!(lines.take().iter().any(|line| line.stream == "stderr" && line.text == "last words"));
}

#[test]
fn a_command_meets_its_limits() {
    let handler = load(&host(), &chaos_command(), &as_a(Protocol::Command));
    for (body, kind, words) in [
        ("3", FaultKind::Trap, "exit code 3:\nlast words"),
        ("t", FaultKind::Trap, "unreachable"),
        ("s", FaultKind::Timeout, ""),
        ("z", FaultKind::Timeout, ""),
        ("F", FaultKind::Timeout, ""),
        ("g", FaultKind::Memory, "was refused"),
    ] {
        let said = fault(&one(&handler, body), kind);
        assert!(said.contains(words), "{body}: {said}");
        assert_eq!(one(&handler, "ok"), Outcome::Ok(None));
    }
}

/// Programs of preview 2 are components; these ones only succeed or fail.
#[test]
fn a_component_may_be_a_command() {
    let host = host();
    for (answer, wanted) in [(0, None), (1, Some("the command ended with exit code 1"))] {
        let wat = format!(
            "(module (func (export \"wasi:cli/run@0.2.0#run\") (result i32) (i32.const {answer})))"
        );
        let handler = load(&host, &component("command", &wat), &as_a(Protocol::Command));
        match wanted {
            None => assert_eq!(run(&handler, chunk(&["a", "b"])), vec![Outcome::Ok(None); 2]),
            Some(words) => assert!(fault(&one(&handler, "a"), FaultKind::Trap).contains(words)),
        }
    }
}

#[test]
fn a_program_says_how_it_is_run_or_is_refused() {
    let host = host();
    let program = program("");
    let error = host.load_bytes("orders", &program, &spec()).map(drop).unwrap_err();
    assert!(matches!(error, LoadError::Unsaid), "{error}");
    let marked = pelton_host::mark(&program, Protocol::Command);
    assert_eq!(one(&load(&host, &marked, &spec()), "ok"), Outcome::Ok(None));
    let error = host.load_bytes("orders", &marked, &as_a(Protocol::Worker)).map(drop).unwrap_err();
    assert!(error.to_string().contains("says that it is a command"), "{error}");
    let other =
        wat::parse_str("(module (import \"env\" \"abort\" (func)) (func (export \"_start\")))").unwrap();
    let error = host.load_bytes("orders", &other, &as_a(Protocol::Command)).map(drop).unwrap_err();
    assert!(error.to_string().contains("imports `env::abort`, which was not granted"), "{error}");
}
