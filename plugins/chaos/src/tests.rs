//! Only what ends can be tested natively; the rest is what the runtime's limits are for.

use super::handle;
use pelton_sdk::{Failure, Message};

fn answer(body: &str, attempt: u32) -> Result<(), Failure> {
    handle(Message::builder().body(body).attempt(attempt).build())
}

#[test]
fn it_answers_what_it_is_asked_to() {
    assert_eq!(answer(r#"{"do": "ok"}"#, 1), Ok(()));
    let retry = answer(r#"{"do": "retry"}"#, 1);
    assert_eq!(retry, Err(Failure::retry("asked to retry")));
    let reject = answer(r#"{"do": "reject"}"#, 9);
    assert_eq!(reject, Err(Failure::reject("asked to reject")));
}

#[test]
fn it_is_well_after_so_many_times() {
    let body = r#"{"do": "retry", "times": 2}"#;
    assert!(answer(body, 2).is_err());
    assert_eq!(answer(body, 3), Ok(()));
    assert_eq!(answer(r#"{"do": "spin", "times": 1}"#, 2), Ok(()));
}

#[test]
#[should_panic(expected = "asked to trap")]
fn a_trap_is_a_panic() {
    let _ = answer(r#"{"do": "trap"}"#, 1);
}

#[test]
fn an_unknown_act_is_rejected() {
    assert_eq!(answer(r#"{"do": "dance"}"#, 1), Err(Failure::reject("cannot do `dance`")));
}
