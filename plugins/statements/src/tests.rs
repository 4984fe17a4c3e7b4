//! With what stands in for the database.

use super::handle;
use pelton_sdk::sql::Value;
use pelton_sdk::testing::{Effects, Reply};
use pelton_sdk::{EffectError, Failure, Message};

fn answer(body: &str, attempt: u32) -> Result<(), Failure> {
    handle(Message::builder().body(body).attempt(attempt).build())
}

#[test]
fn it_runs_what_it_is_told() {
    let effects = Effects::new().sql("insert", Reply::affected(1)).sql("insert", Reply::affected(1));
    let body = r#"{"run": [{"execute": "insert it", "with": ["a", 1, 1.5, true, null], "times": 2}]}"#;
    assert_eq!(answer(body, 1), Ok(()));
    let statements = effects.statements();
    assert_eq!(statements.len(), 2);
    let values =
        [Value::Text("a".into()), Value::Integer(1), Value::Float(1.5), Value::Boolean(true), Value::Null];
    assert_eq!(statements[0].parameters, values);
}

#[test]
fn an_error_is_its_answer_unless_it_is_to_be_ignored() {
    let fails = || Reply::fails(EffectError::new("23505", "there is one"));
    let _effects = Effects::new().sql("insert", fails());
    assert!(answer(r#"{"run": [{"execute": "insert"}]}"#, 1).is_err());
    let _effects = Effects::new().sql("insert", fails());
    assert_eq!(answer(r#"{"run": [{"execute": "insert", "ignore": true}]}"#, 1), Ok(()));
}

#[test]
fn it_answers_as_it_is_told_and_is_well_after_so_many_times() {
    let _effects = Effects::new();
    assert_eq!(answer(r#"{"then": "retry", "times": 1}"#, 1), Err(Failure::retry("asked to retry")));
    assert_eq!(answer(r#"{"then": "retry", "times": 1}"#, 2), Ok(()));
}
