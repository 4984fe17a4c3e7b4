//! SQL by `pelton:effects/sql`: the transaction of a call, and what becomes of it.
#![allow(clippy::unwrap_used)]

mod common;

use common::deeds::Deed::*;
use common::deeds::{Deed, World, component_of, send};
use common::sql::{MadeUp, has_transaction};
use common::*;
use pelton_core::effects::{Bucket, Effects, Staged, Target};
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::Handler;
use pelton_host::{
    EffectCounts, Grants, HandlerSpec, Host, MemoryState, OutboxGrant, Outlet, StateGrant, WasmHandler,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Shop {
    host: Host,
    handler: Arc<WasmHandler>,
    database: MadeUp,
    state: MemoryState,
    lines: Arc<Lines>,
}

const DEFAULT: Bucket = Bucket(1);

fn shop(world: World, database: MadeUp, letters: &[(char, &[Deed])], spec: HandlerSpec) -> Shop {
    let (host, lines) = listening();
    let state = MemoryState::default();
    let outlet = Outlet { name: "out".to_owned(), target: Target(1), refuses: Arc::new(|_| None) };
    let stores = vec![("default".to_owned(), DEFAULT)];
    let grants = Grants {
        state: Some(StateGrant { home: Arc::new(state.clone()), stores }),
        outbox: Some(OutboxGrant { targets: vec![outlet] }),
        ..database.grants()
    };
    let spec = HandlerSpec { grants: Arc::new(grants), memory: 32 << 20, ..spec };
    let handler = load(&host, &component_of(world, letters), &spec);
    Shop { host, handler, database, state, lines }
}

/// How long it takes is not what is asked: other tests may have the processor.
fn patient() -> HandlerSpec {
    HandlerSpec { timeout: Duration::from_secs(600), ..spec() }
}

fn said(lines: &Lines) -> String {
    lines.take().into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
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

fn again(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Again { reason, alone: false } => reason,
        other => panic!("it does not run again: {other:?}"),
    }
}

fn again_alone(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Again { reason, alone: true } => reason,
        other => panic!("it does not run again: {other:?}"),
    }
}

#[test]
fn a_transaction_begins_with_the_first_statement_and_goes_on_with_ok() {
    let letters: [(char, &[Deed]); 3] = [
        (
            'a',
            &[
                Query("values", None),
                Execute("echo it", Some("p")),
                Query("echo it", Some("p")),
                Stage("s", None),
            ],
        ),
        ('n', &[Say("nothing")]),
        ('s', &[Open("default"), Set("k", "v"), Send(send("out", "b")), Execute("echo", None)]),
    ];
    let shop = shop(World::Sql, MadeUp::default(), &letters, patient());
    assert_eq!(shop.handler.max_chunk(), 1);
    let outcome = one(&shop.handler, "a");
    assert_eq!(said(&shop.lines), "1 - y -7 2 text bytes 1 1 p .");
    assert_eq!(shop.database.asked(), ["begin 1", "run values", "run echo it", "run echo it", "stage s"]);
    assert!(has_transaction(effects(&outcome)) && staged(&outcome).messages == 1);
    drop(outcome);
    assert_eq!(shop.database.asked(), ["end"], "what is dropped on the way is rolled back");
    assert_eq!(one(&shop.handler, "n"), Outcome::Ok(None));
    assert_eq!(shop.database.asked(), [""; 0]);
    let outcome = one(&shop.handler, "s");
    let effects = effects(&outcome);
    assert!(has_transaction(effects));
    assert_eq!((effects.writes.len(), effects.messages.len()), (1, 1));
}

#[test]
fn anything_but_ok_leaves_nothing() {
    let letters: [(char, &[Deed]); 5] = [
        ('r', &[Execute("echo", None), Retry]),
        ('j', &[Execute("echo", None), Reject("no")]),
        ('t', &[Execute("echo", None), Trap]),
        ('s', &[Execute("echo", None), Spin]),
        ('w', &[Execute("echo", None), Execute("sleep", None)]),
    ];
    let shop = shop(World::Sql, MadeUp::default(), &letters, spec());
    for body in ["r", "j", "t", "s", "w"] {
        let begun = Instant::now();
        let outcome = one(&shop.handler, body);
        assert!(matches!(outcome, Outcome::Retry { .. } | Outcome::Reject { .. } | Outcome::Fault { .. }));
        let asked = shop.database.asked();
        assert_eq!((asked.first(), asked.last()), (Some(&"begin 1".to_owned()), Some(&"end".to_owned())));
        if body == "w" {
            fault(&outcome, FaultKind::Timeout);
            assert!(begun.elapsed() >= spec().timeout, "it has its time");
        }
    }
}

#[test]
fn errors_have_their_cases_and_are_counted() {
    let letters: [(char, &[Deed]); 6] = [
        ('u', &[QueryOf("stock", "echo")]),
        ('r', &[Execute("refuse", None)]),
        ('l', &[Query("large", None), Query("echo", Some("p"))]),
        ('b', &[Query("rows 400000", None), Query("echo", Some("p"))]),
        ('f', &[Execute("fail", None), Execute("echo", None), Reject("it is there already")]),
        ('z', &[Execute("zero \0", None)]),
    ];
    let shop = shop(World::Sql, MadeUp::default(), &letters, patient());
    for (body, words) in [
        ("u", "!0 the pipeline grants no database `stock`; it grants `shop`"),
        ("r", "!1 no such statement"),
        ("l", "!4 10000 1 p"),
        ("f", "!2 23505 !2 25P02"),
        ("z", "!1 a statement has no zero byte in its text"),
    ] {
        let outcome = one(&shop.handler, body);
        assert_eq!(outcome.is_ok(), body != "f", "{outcome:?}");
        let said = said(&shop.lines);
        assert!(said.starts_with(words), "{body}: {said}");
    }
    // Forty megabytes, of an instance that may have thirty-two.
    assert!(has_transaction(effects(&one(&shop.handler, "b"))), "the transaction stands");
    let said = said(&shop.lines);
    assert!(said.starts_with("!4 2726") && said.ends_with(" 1 p"), "{said}");
    let counts = shop.host.effect_counts("orders");
    let expected =
        EffectCounts { sql_refused: 3, sql_failed: 2, sql_too_large: 2, ..EffectCounts::default() };
    assert_eq!(counts, expected);
}

#[test]
fn an_error_that_is_swallowed_is_a_retry_with_its_words() {
    let letters: [(char, &[Deed]); 1] = [('a', &[Execute("fail", None)])];
    let shop = shop(World::Sql, MadeUp::default(), &letters, patient());
    match one(&shop.handler, "a") {
        Outcome::Retry { reason, after_ms: None } => {
            assert_eq!(reason, "23505 there is one, and the handler answered ok");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_the_messages_fault_runs_again_whatever_it_answers() {
    let ends: [&[Deed]; 4] = [&[], &[Retry], &[Reject("no")], &[Trap]];
    for end in ends {
        for (statement, words) in [("lose", "the connection was lost"), ("conflict", "40001 too late")] {
            let deeds = [&[Execute(statement, None)], end].concat();
            let shop = shop(World::Sql, MadeUp::default(), &[('a', &deeds)], patient());
            assert_eq!(again(&one(&shop.handler, "a")), words, "{deeds:?}");
            let asked = shop.database.asked();
            assert_eq!(asked.last().map(String::as_str), Some("end"));
        }
    }
    let deeds: [Deed; 2] = [Execute("echo", None), Reject("no")];
    let shop = shop(World::Sql, MadeUp::default(), &[('a', &deeds)], patient());
    shop.database.go_away(true);
    assert_eq!(again(&one(&shop.handler, "a")), "it is away");
    assert_eq!(shop.host.effect_counts("orders").sql_unavailable, 1);
    shop.database.go_away(false);
    assert_eq!(one(&shop.handler, "a"), Outcome::Reject { reason: "no".to_owned() });
}

#[test]
fn statements_are_bounded_in_number() {
    let letters: [(char, &[Deed]); 3] = [
        ('e', &[ExecuteTimes("echo", 10_000)]),
        ('x', &[ExecuteTimes("echo", 10_001)]),
        ('s', &[StageTimes("echo", 10_001)]),
    ];
    let shop = shop(World::Sql, MadeUp::default(), &letters, patient());
    assert!(one(&shop.handler, "e").is_ok());
    assert_eq!(said(&shop.lines), "0");
    for body in ["x", "s", "x"] {
        assert!(one(&shop.handler, body).is_ok());
        assert_eq!(
            said(&shop.lines),
            "!1 at most 10000 statements are run for a message; do more with each"
        );
        assert_eq!(shop.database.asked().iter().filter(|line| line.ends_with(" echo")).count() % 10_000, 0);
    }
}

#[test]
fn a_batch_has_one_transaction_of_all_or_nothing() {
    let letters: [(char, &[Deed]); 5] = [
        ('a', &[Execute("echo", None), Open("default"), Add("n", 1)]),
        ('q', &[]),
        ('r', &[Retry]),
        ('f', &[Execute("fail", None)]),
        ('c', &[Execute("conflict", None)]),
    ];
    let shop = shop(World::SqlBatch, MadeUp::sharing(8), &letters, patient());
    assert_eq!(shop.handler.max_chunk(), 256);
    let outcomes = run(&shop.handler, chunk(&["a", "q", "a"]));
    assert_eq!(shop.database.asked(), ["begin 3", "run echo", "run echo"]);
    let all: Vec<&Staged> = outcomes.iter().map(staged).collect();
    assert!(all.iter().all(|staged| *staged == all[0] && staged.messages == 3), "{all:?}");
    assert!(has_transaction(&all[0].effects));
    drop(outcomes);
    assert_eq!(shop.database.asked(), ["end"]);
    for bodies in [["a", "r", "q"], ["a", "f", "q"]] {
        assert_eq!(run(&shop.handler, chunk(&bodies)), vec![Outcome::BatchFault; 3]);
        assert_eq!(shop.database.asked().last().map(String::as_str), Some("end"));
    }
    let outcomes = run(&shop.handler, chunk(&["a", "c", "r"]));
    assert!(outcomes.iter().all(|outcome| again_alone(outcome) == "40001 too late"));
    assert!(matches!(one(&shop.handler, "f"), Outcome::Retry { .. }));
    assert_eq!(run(&shop.handler, chunk(&["q", "q"])), vec![Outcome::Ok(None); 2]);
}

#[test]
fn what_follows_a_transaction_of_its_own_in_a_chunk_is_handed_back() {
    let letters: [(char, &[Deed]); 3] =
        [('a', &[Execute("echo", None)]), ('r', &[Execute("echo", None), Retry]), ('q', &[])];
    let shop = shop(World::Sql, MadeUp::default(), &letters, patient());
    let outcomes = run(&shop.handler, chunk(&["q", "r", "a", "q"]));
    assert!(matches!(outcomes[1], Outcome::Retry { .. }));
    assert_eq!((&outcomes[0], &outcomes[3]), (&Outcome::Ok(None), &Outcome::NotStarted));
    assert!(has_transaction(effects(&outcomes[2])));
}

#[test]
fn the_messages_of_a_chunk_share_a_transaction_and_fail_alone() {
    let letters: [(char, &[Deed]); 6] = [
        ('a', &[Execute("echo a", None), Open("default"), Add("n", 1)]),
        ('q', &[]),
        ('s', &[Open("default"), Add("n", 1)]),
        ('r', &[Execute("echo r", None), Open("default"), Add("n", 1), Retry]),
        ('f', &[Execute("fail", None)]),
        ('t', &[Execute("echo t", None), Trap]),
    ];
    let shop = shop(World::Sql, MadeUp::sharing(8), &letters, patient());
    assert_eq!(shop.handler.max_chunk(), 8);
    let outcomes = run(&shop.handler, chunk(&["q", "a", "r", "s", "f", "t", "q", "a"]));
    assert_eq!(
        shop.database.asked(),
        [
            "begin 8",
            "message",
            "run echo a",
            "message",
            "run echo r",
            "undo",
            "message",
            "run fail",
            "undo",
            "message",
            "run echo t",
            "undo",
            "message",
            "run echo a"
        ]
    );
    let well: Vec<&Staged> = [1, 3, 7].map(|at| staged(&outcomes[at])).to_vec();
    assert!(well.iter().all(|staged| *staged == well[0] && staged.messages == 3), "{well:?}");
    assert!(has_transaction(&well[0].effects));
    assert_eq!((&outcomes[0], &outcomes[6]), (&Outcome::Ok(None), &Outcome::Ok(None)));
    assert!(matches!(outcomes[2], Outcome::Retry { .. }) && matches!(outcomes[4], Outcome::Retry { .. }));
    fault(&outcomes[5], FaultKind::Trap);
    let effects = Arc::clone(&well[0].effects);
    assert_eq!((effects.reads.len(), effects.writes.len()), (1, 1), "as one call's");
    shop.state.commit(&effects).unwrap();
    assert_eq!(shop.state.contents(DEFAULT), [(b"n".to_vec(), b"3".to_vec())]);
    drop((outcomes, effects));
    assert_eq!(shop.database.asked(), ["end"]);
    assert_eq!(run(&shop.handler, chunk(&["q", "q"])), vec![Outcome::Ok(None); 2]);
    assert_eq!(shop.database.asked(), [""; 0]);
}

#[test]
fn when_the_transaction_of_a_chunk_comes_to_nothing_all_of_it_runs_again() {
    let letters: [(char, &[Deed]); 4] = [
        ('a', &[Execute("echo", None)]),
        ('q', &[]),
        ('r', &[Execute("echo", None), Retry]),
        ('c', &[Execute("conflict", None), Retry]),
    ];
    let shop = shop(World::Sql, MadeUp::sharing(8), &letters, patient());
    let outcomes = run(&shop.handler, chunk(&["q", "a", "r", "a", "c", "a"]));
    assert_eq!((&outcomes[0], &outcomes[5]), (&Outcome::Ok(None), &Outcome::NotStarted));
    assert!(matches!(outcomes[2], Outcome::Retry { .. }));
    assert!([1, 3, 4].iter().all(|at| again_alone(&outcomes[*at]) == "40001 too late"), "{outcomes:?}");
    assert_eq!(shop.database.asked().last().map(String::as_str), Some("end"));
    // One alone needs no message of its own in it.
    assert!(has_transaction(effects(&one(&shop.handler, "a"))));
    assert_eq!(shop.database.asked(), ["begin 1", "run echo", "end"]);
}

#[test]
fn what_one_message_has_not_waited_for_is_not_the_fault_of_the_next() {
    let letters: [(char, &[Deed]); 2] =
        [('a', &[Stage("late", None)]), ('j', &[Execute("echo", None), Reject("no")])];
    let shop = shop(World::Sql, MadeUp::sharing(8), &letters, patient());
    let outcomes = run(&shop.handler, chunk(&["a", "j", "j"]));
    assert!(outcomes[..2].iter().all(|outcome| again_alone(outcome) == "23514 found late"), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::NotStarted);
}

#[test]
fn a_version_in_the_shadow_runs_nothing() {
    let letters: [(char, &[Deed]); 1] = [('a', &[Execute("echo", None)])];
    let shop = shop(World::Sql, MadeUp::default(), &letters, patient());
    let shadow = shop.handler.in_background();
    assert_eq!(one(&shadow, "a"), Outcome::NotStarted);
    assert!(said(&shop.lines).starts_with("!1 the version is in the shadow"));
    assert_eq!((shadow.refused(), shop.database.asked().len()), (1, 0));
}
