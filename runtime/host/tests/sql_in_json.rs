//! SQL by the calls of a worker.
#![allow(clippy::unwrap_used)]

mod common;

use common::sql::{MadeUp, has_transaction};
use common::worker::{Deed, worker_of};
use common::*;
use pelton_core::outcome::Outcome;
use pelton_host::HandlerSpec;
use std::sync::Arc;

#[test]
fn a_worker_runs_statements_in_json() {
    const ONE: &str = r#"{"database":"shop","statement":"values"}"#;
    use Deed::Call;
    let echo = concat!(
        r#"{"database":"shop","statement":"echo it","parameters":"#,
        r#"[null,true,3,9007199254740993,1.5,{"float":2},{"integer":"-4"},{"bytes":"AP8="},"t"]}"#
    );
    let letters: [(char, &[Deed]); 3] = [
        (
            'a',
            &[
                Call("sql.query", ONE),
                Call("sql.query", echo),
                Call("sql.execute", r#"{"database":"shop","statement":"echo","parameters":[1,2]}"#),
                Call("sql.stage", r#"{"database":"shop","statement":"echo","parameters":null}"#),
            ],
        ),
        (
            'e',
            &[
                Call("sql.query", r#"{"database":"stock","statement":"echo"}"#),
                Call("sql.query", r#"{"database":"shop","statement":"refuse"}"#),
                Call("sql.query", r#"{"database":"shop","statement":"large"}"#),
                Call("sql.query", r#"{"database":"shop","statement":"echo","parameters":[[1]]}"#),
                Call("sql.query", r#"{"database":"shop"}"#),
                Call("sql.execute", r#"{"database":"shop","statement":"fail"}"#),
            ],
        ),
        ('l', &[Call("sql.execute", r#"{"database":"shop","statement":"lose"}"#)]),
    ];
    let (host, lines) = listening();
    let database = MadeUp::default();
    let spec = HandlerSpec { grants: Arc::new(database.grants()), ..HandlerSpec::default() };
    let handler = load(&host, &worker_of(&["pelton_worker_2"], &letters), &spec);
    let outcome = one(&handler, "a");
    assert!(matches!(&outcome, Outcome::Ok(Some(staged)) if has_transaction(&staged.effects)));
    let answers: Vec<String> = lines.take().into_iter().map(|line| line.text).skip(1).step_by(2).collect();
    let row = r#"[null,true,3,{"integer":"9007199254740993"},1.5,{"float":2.0},-4,{"bytes":"AP8="},"t"]"#;
    let column = r#""columns":[{"name":"value","type":"text"}]"#;
    assert_eq!(
        answers,
        [
            r#"{"affected":1,"columns":[],"rows":[[null,true,-7,2.5,"text",{"bytes":"Ynl0ZXM="}]]}"#,
            &format!("{{\"affected\":9,{column},\"rows\":[{row}]}}"),
            r#"{"affected":2}"#,
            "{}",
        ]
    );
    assert!(matches!(one(&handler, "e"), Outcome::Retry { .. }), "it has swallowed the last one");
    let words = lines.take().into_iter().flat_map(|line| [Some(line.text), line.fields]);
    let words: Vec<String> = words.flatten().collect();
    let words = words.join("\n");
    for expected in [
        "error unknown-database ",
        "error refused 17\nno such statement",
        "error too-large 44\nthe result has more than 10000 rows or bytes",
        "error refused 140\n`parameters` must be a list of null",
        "`statement` is missing",
        // A line that is an object is its message, and the rest of it.
        "there is one\n{\"code\":\"23505\",\"constraint\":null,\"detail\":null}",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let again = Outcome::Again { reason: "the connection was lost".to_owned(), alone: false };
    assert_eq!(one(&handler, "l"), again);
}
