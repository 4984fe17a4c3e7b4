//! State by `wasi:keyvalue`: what a message reads and writes, and what of it is committed.
#![allow(clippy::unwrap_used)]

mod common;

use common::deeds::Deed::*;
use common::deeds::{World, component_of, send};
use common::*;
use pelton_core::effects::{Bucket, Effects, Seen, Staged, Stamp, Target};
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_host::EffectCounts;
use pelton_host::{
    Grants, HandlerSpec, Isolation, MemoryState, OutboxGrant, Outlet, StateGrant, WasmHandler,
};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT: Bucket = Bucket(1);
const TOTALS: Bucket = Bucket(2);

/// A handler of these deeds, its state, and what it says.
fn handler(
    world: World,
    letters: &[(char, &[deeds::Deed])],
    spec: HandlerSpec,
) -> (Arc<WasmHandler>, MemoryState, Arc<Lines>) {
    let (host, lines) = listening();
    let state = MemoryState::default();
    let stores = vec![("default".to_owned(), DEFAULT), ("totals".to_owned(), TOTALS)];
    let outlet = Outlet { name: "out".to_owned(), target: Target(1), refuses: Arc::new(|_| None) };
    let grants = Grants {
        state: Some(StateGrant { home: Arc::new(state.clone()), stores }),
        outbox: Some(OutboxGrant { targets: vec![outlet] }),
        ..Grants::default()
    };
    let spec = HandlerSpec { grants: Arc::new(grants), memory: 32 << 20, ..spec };
    (load(&host, &component_of(world, letters), &spec), state, lines)
}

/// How long it takes is not what is asked: other tests may have the processor.
fn patient() -> HandlerSpec {
    HandlerSpec { timeout: Duration::from_secs(600), ..spec() }
}

/// What a message said, which is its only line.
fn said(lines: &Lines) -> String {
    let lines = lines.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].text.clone()
}

fn staged(outcome: &Outcome) -> &Staged {
    match outcome {
        Outcome::Ok(Some(staged)) => staged,
        other => panic!("nothing is staged: {other:?}"),
    }
}

fn effects(outcome: &Outcome) -> &Effects {
    &staged(outcome).effects
}

#[test]
fn both_versions_read_and_write() {
    for world in [World::Draft, World::Draft2] {
        let (handler, state, lines) = handler(
            world,
            &[
                (
                    'a',
                    &[
                        Open("default"),
                        Get("k"),
                        Set("k", "one"),
                        Get("k"),
                        Exists("k"),
                        Exists("old"),
                        Delete("old"),
                        Get("old"),
                        Exists("old"),
                        Add("n", 5),
                        Add("n", 2),
                        GetMany(&["k", "none", "old", "kept"]),
                        SetMany(&[("x", "1"), ("y", "2")]),
                        DeleteMany(&["y", "never"]),
                        List,
                    ],
                ),
                (
                    'b',
                    &[Open("totals"), Get("k"), Open(""), Get("k"), Open("others"), Open("default"), List],
                ),
            ],
            patient(),
        );
        state.set(DEFAULT, "old", "gone soon");
        state.set(DEFAULT, "kept", "kept");
        let outcome = one(&handler, "a");
        assert_eq!(said(&lines), "- . one y y . - n 5 7 one - - kept . . k kept n x", "{world:?}");
        let effects = effects(&outcome);
        let read: Vec<&[u8]> = effects.reads.iter().map(|seen| &*seen.key).collect();
        assert_eq!(read, [&b"k"[..], b"kept", b"n", b"none", b"old"], "each once, and none of its own");
        assert_eq!(effects.writes.len(), 6);
        state.commit(effects).unwrap();
        let contents: Vec<String> = state
            .contents(DEFAULT)
            .into_iter()
            .map(|(k, v)| format!("{}={}", String::from_utf8(k).unwrap(), String::from_utf8(v).unwrap()))
            .collect();
        assert_eq!(contents, ["k=one", "kept=kept", "n=7", "x=1"]);
        let outcome = one(&handler, "b");
        assert_eq!(said(&lines), "- one !0 k kept n x", "{world:?}");
        assert_eq!(effects_reads(&outcome), 2, "a key of each store");
    }
}

fn effects_reads(outcome: &Outcome) -> usize {
    effects(outcome).reads.len()
}

#[test]
fn a_message_reads_what_one_before_has_staged_and_conflicts_when_that_never_was() {
    let (handler, state, _) = handler(World::Draft2, &[('a', &[Open("default"), Add("n", 1)])], patient());
    let mut outcomes = run(&handler, chunk(&["a"; 100]));
    for outcome in &outcomes {
        state.commit(effects(outcome)).unwrap();
    }
    drop(std::mem::take(&mut outcomes));
    assert_eq!(state.contents(DEFAULT), [(b"n".to_vec(), b"100".to_vec())]);
    let outcomes = run(&handler, chunk(&["a", "a", "a"]));
    assert!(
        state.commit(effects(&outcomes[1])).is_err(),
        "it has read what the first one has not committed"
    );
    state.commit(effects(&outcomes[0])).unwrap();
    state.commit(effects(&outcomes[1])).unwrap();
    drop(outcomes);
    let outcome = one(&handler, "a");
    assert_eq!(effects(&outcome).writes[0].value.as_deref(), Some(&b"103"[..]), "the third one never was");
}

#[test]
fn nothing_is_staged_but_with_ok() {
    let bad: [&[deeds::Deed]; 5] = [
        &[Open("default"), Set("k", "bad"), Retry],
        &[Open("default"), Set("k", "bad"), Reject("no")],
        &[Open("default"), Set("k", "bad"), Trap],
        &[Open("default"), Set("k", "bad"), Spin],
        &[Open("default"), Get("k"), Retry],
    ];
    for isolation in [Isolation::Reuse, Isolation::Message] {
        for deeds in bad {
            let (handler, state, lines) = handler(
                World::Draft2,
                &[('x', deeds), ('g', &[Open("default"), Get("k")]), ('q', &[])],
                HandlerSpec { isolation, ..spec() },
            );
            let outcomes = ["x", "g", "q"].map(|body| one(&handler, body));
            assert!(!outcomes[0].is_ok(), "{outcomes:?}");
            let effects = effects(&outcomes[1]);
            let seen = [Seen { bucket: DEFAULT, key: b"k".to_vec(), stamp: Stamp::ABSENT }];
            assert_eq!((&effects.reads[..], effects.writes.len()), (&seen[..], 0));
            assert_eq!(outcomes[2], Outcome::Ok(None), "what asked for nothing has nothing");
            assert!(lines.take().iter().any(|line| line.text == "-"));
            assert!(state.contents(DEFAULT).is_empty());
        }
    }
}

#[test]
fn limits_are_errors_in_words() {
    let (handler, _, lines) = handler(
        World::Draft2,
        &[
            ('k', &[Open("default"), Set("", "v")]),
            ('v', &[Open("default"), SetZeros("v", (1 << 20) + 1), SetZeros("v", 1 << 20)]),
            (
                'b',
                &[
                    Open("default"),
                    SetZeros("1", 1 << 20),
                    SetZeros("2", 1 << 20),
                    SetZeros("3", 1 << 20),
                    SetZeros("4", 1 << 20),
                    Get("small"),
                    Set("small", "s"),
                ],
            ),
            ('n', &[Open("default"), SetCounted(1_001)]),
            ('c', &[Open("default"), Set("n", "many"), Add("n", 1)]),
            ('i', &[Open("default"), Set("n", "9223372036854775807"), Add("n", 1), Add("n", -1)]),
        ],
        patient(),
    );
    for (body, words) in [
        ("k", "!2 a key of state has 1 to 512 bytes, and this one has 0"),
        ("v", "!2 a value of state has at most 1048576 bytes, and this one has 1048577"),
        ("b", ". . . !2 one message may have 4194304 bytes of state, and this would be 4194"),
        ("n", "!2 one message may have 1000 keys of state, and this would be 1001"),
        ("c", ". !2 the value of this key is no counter"),
        ("i", ". !2 the counter is at 9223372036854775807, and must stay between"),
    ] {
        let outcome = one(&handler, body);
        assert!(outcome.is_ok(), "{body}: a limit is an error to the handler: {outcome:?}");
        let said = said(&lines);
        assert!(said.starts_with(words), "{body}: {said}");
    }
}

#[test]
fn what_is_staged_counts_against_the_memory_of_its_instance_until_its_call_ends() {
    let (host, _) = listening();
    let state = MemoryState::default();
    let stores = vec![("default".to_owned(), DEFAULT)];
    let state = StateGrant { home: Arc::new(state), stores };
    let grants =
        Grants { state: Some(state), outbox: Some(OutboxGrant { targets: vec![] }), ..Grants::default() };
    // The guest's own memory is six megabytes.
    let spec = HandlerSpec { grants: Arc::new(grants), memory: 8 << 20, ..spec() };
    let three =
        &[Open("default"), SetZeros("1", 1 << 20), SetZeros("2", 1 << 20), SetZeros("3", 1 << 20)][..];
    let letters = [('3', three), ('1', &[Open("default"), SetZeros("1", 1 << 20)])];
    let handler = load(&host, &component_of(World::Draft2, &letters), &spec);
    let reason = fault(&one(&handler, "3"), FaultKind::Memory);
    assert!(reason.contains("that the host keeps for it"), "{reason}");
    for _ in 0..10 {
        assert!(one(&handler, "1").is_ok());
    }
}

#[test]
fn what_is_refused_is_counted_over_all_versions() {
    let (host, _) = listening();
    let stores = vec![("default".to_owned(), DEFAULT)];
    let grants = Grants {
        state: Some(StateGrant { home: Arc::new(MemoryState::default()), stores }),
        outbox: Some(OutboxGrant { targets: vec![] }),
        ..Grants::default()
    };
    let spec = HandlerSpec { grants: Arc::new(grants), memory: 32 << 20, ..patient() };
    let letters: [(char, &[deeds::Deed]); 1] = [(
        'a',
        &[Open("default"), Set("k", "v"), Add("k", 1), Get(""), Open("none"), Send(send("no", ""))],
    )];
    let bytes = component_of(World::Draft2, &letters);
    let mut handler = load(&host, &bytes, &spec);
    for times in 1..=2 {
        let next = load(&host, &bytes, &spec);
        assert!(one(&next, "a").is_ok());
        let counts = host.effect_counts("orders");
        assert_eq!((counts.state_refused, counts.sends_refused), (3 * times, times));
        handler = next;
    }
    drop(handler);
    assert_eq!(host.effect_counts("others"), EffectCounts::default());
}

#[test]
fn handles_are_bounded() {
    let letters: [(char, &[deeds::Deed]); 3] = [
        ('o', &[OpenForever]),
        ('s', &[Open("default"), SwapForever]),
        ('a', &[Open("default"), Get("k")]),
    ];
    let (handler, _, _) = handler(World::Draft2, &letters, patient());
    for body in ["o", "s"] {
        fault(&one(&handler, body), FaultKind::Trap);
        assert!(one(&handler, "a").is_ok());
    }
}

#[test]
fn pages_of_keys_have_those_of_the_message_itself() {
    for world in [World::Draft, World::Draft2] {
        let (handler, state, lines) = handler(
            world,
            &[('a', &[Open("default"), Delete("0500"), Set("0999b", ""), Set("zz", ""), List])],
            patient(),
        );
        let mut all: Vec<String> = (0..2_500).map(|n| format!("{n:04}")).collect();
        for key in &all {
            state.set(DEFAULT, key.as_str(), "");
        }
        assert!(one(&handler, "a").is_ok());
        all.retain(|key| key != "0500");
        all.extend(["0999b".to_owned(), "zz".to_owned()]);
        all.sort();
        let lines: Vec<String> = lines.take().into_iter().map(|line| line.text).collect();
        let said: Vec<String> = lines.concat().split(' ').map(str::to_owned).collect();
        let keys: Vec<&String> = said.iter().filter(|word| *word != ".").collect();
        assert_eq!(keys, all.iter().collect::<Vec<_>>(), "{world:?}");
        let pages = said.iter().filter(|word| *word == ".").count() - 3;
        assert_eq!(pages, 2, "{world:?}: pages but the last");
    }
}

#[test]
fn a_swap_fails_on_what_the_message_has_written_since() {
    let (handler, state, lines) = handler(
        World::Draft2,
        &[(
            'a',
            &[
                Open("default"),
                Swap("k"),
                Current,
                SwapTo("two"),
                Get("k"),
                Swap("k"),
                Set("k", "three"),
                SwapTo("four"),
                Current,
                SwapTo("five"),
                Get("k"),
            ],
        )],
        patient(),
    );
    state.set(DEFAULT, "k", "one");
    let outcome = one(&handler, "a");
    assert_eq!(said(&lines), "one . two . n three . five");
    state.set(DEFAULT, "k", "meanwhile");
    assert!(state.commit(effects(&outcome)).is_err(), "what others wrote is a conflict when it completes");
}

#[test]
fn a_batch_stages_for_all_of_its_messages_or_for_none() {
    let (handler, state, _) = handler(
        World::Batch,
        &[('a', &[Open("default"), Add("n", 1), Send(send("out", "b"))]), ('r', &[Retry]), ('q', &[])],
        patient(),
    );
    let outcomes = run(&handler, chunk(&["a", "q", "a"]));
    let all: Vec<&Staged> = outcomes.iter().map(staged).collect();
    assert!(all.iter().all(|staged| *staged == all[0] && staged.messages == 3), "{all:?}");
    let effects = &all[0].effects;
    assert_eq!((effects.writes.len(), effects.messages.len()), (1, 2));
    assert_ne!(effects.messages[0].id, effects.messages[1].id);
    state.commit(effects).unwrap();
    assert_eq!(run(&handler, chunk(&["a", "r", "q"])), vec![Outcome::BatchFault; 3]);
    let retry = Outcome::Retry { reason: String::new(), after_ms: None };
    assert_eq!(
        run(&handler, chunk(&["q", "r", "q"])),
        [Outcome::Ok(None), retry.clone(), Outcome::Ok(None)]
    );
    assert_eq!(one(&handler, "r"), retry);
    let alone = one(&handler, "a");
    assert_eq!(staged(&alone).messages, 1);
    state.commit(&staged(&alone).effects).unwrap();
    assert_eq!(state.contents(DEFAULT), [(b"n".to_vec(), b"3".to_vec())]);
}

#[test]
fn what_works_on_copies_stages_nothing_and_shows_nothing() {
    let (handler, _, lines) =
        handler(World::Draft2, &[('a', &[Open("default"), Add("n", 1), Get("n")])], patient());
    let shadow = handler.in_background();
    for _ in 0..3 {
        assert_eq!(one(&shadow, "a"), Outcome::Ok(None));
        assert_eq!(said(&lines), "1 1");
    }
}
