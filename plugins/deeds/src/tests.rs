//! With what stands in for state and outbox.

use super::handle;
use pelton_sdk::testing::Effects;
use pelton_sdk::{Failure, Message};

fn answer(body: &str, attempt: u32) -> Result<(), Failure> {
    handle(Message::builder().body(body).attempt(attempt).build())
}

#[test]
fn it_counts_and_sends() {
    let effects = Effects::new();
    let body = r#"{"add": "total", "send": ["receipts", "mails"], "key": "c", "size": 3}"#;
    assert_eq!(answer(body, 1), Ok(()));
    assert_eq!(effects.state("total").as_deref(), Some(&b"1"[..]));
    let sent: Vec<(String, Vec<u8>)> =
        effects.sent().into_iter().map(|one| (one.target, one.body)).collect();
    assert_eq!(sent, [("receipts".to_owned(), b"xxx".to_vec()), ("mails".to_owned(), b"xxx".to_vec())]);
}

#[test]
fn it_answers_as_it_is_told_and_is_well_after_so_many_times() {
    let _effects = Effects::new();
    let body = r#"{"then": "retry", "times": 1}"#;
    assert_eq!(answer(body, 1), Err(Failure::retry("asked to retry")));
    assert_eq!(answer(body, 2), Ok(()));
    assert_eq!(answer(r#"{"then": "reject"}"#, 9), Err(Failure::reject("asked to reject")));
}
