use super::handle;
use pelton_sdk::testing::{Effects, Reply};
use pelton_sdk::{EffectError, Failure, Message};

fn answer(how: &str, attempt: u32) -> Result<(), Failure> {
    let body = format!(r#"{{"id": 1, "from": 2, "to": 3, "cents": 4, "how": "{how}"}}"#);
    handle(Message::builder().body(body).attempt(attempt).build())
}

fn accounts() -> Effects {
    let effects = Effects::new().sql("select balance", Reply::rows(["balance"]).row((100,)));
    effects.sql("balance - $2", Reply::affected(1)).sql("balance + $2", Reply::affected(1))
}

#[test]
fn money_is_taken_given_and_noted() {
    let effects = accounts();
    assert_eq!(answer("plain", 1), Ok(()));
    assert_eq!((effects.statements().len(), effects.staged().len()), (3, 1));
    drop(effects);
    let effects = Effects::new();
    assert_eq!(answer("staged", 1), Ok(()));
    assert_eq!(effects.staged().len(), 3);
}

#[test]
fn the_first_attempt_may_be_wrong_and_the_second_is_not() {
    let refused = |how: &str, attempt| {
        let _effects = accounts();
        answer(how, attempt)
    };
    assert!(!refused("retry", 1).expect_err("a retry").is_reject());
    assert!(refused("reject", 2).expect_err("a reject").is_reject());
    assert_eq!(refused("retry", 2), Ok(()));
}

#[test]
fn what_ends_the_transaction_has_to_be_refused() {
    let mut effects = accounts();
    for statement in super::ENDINGS {
        effects = effects.sql(statement, Reply::fails(EffectError::new("refused", "no")));
    }
    assert_eq!(answer("commit", 1), Ok(()));
    drop(effects);
}
