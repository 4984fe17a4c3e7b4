use super::handle;
use pelton_sdk::sql::Value;
use pelton_sdk::testing::{Effects, Reply};
use pelton_sdk::{EffectError, Failure, Message};

fn answer(body: &str) -> Result<(), Failure> {
    handle(Message::builder().body(body).build())
}

const ORDER: &str = r#"{"id": 7, "customer": "ada", "item": "tea", "units": 2}"#;

fn taken() -> Effects {
    Effects::new().sql("update stock", Reply::rows(["total"]).row(("9.00",)))
}

fn fails(code: &str, constraint: &str) -> Reply {
    Reply::fails(EffectError::new(code, "the database says no").with_constraint(constraint))
}

#[test]
fn an_order_is_taken_out_of_the_stock_and_written_down() {
    let effects = taken().sql("insert into orders", Reply::affected(1));
    assert_eq!(answer(ORDER), Ok(()));
    let statements = effects.statements();
    assert_eq!(statements[0].parameters, [Value::Text("tea".into()), Value::Integer(2)]);
    assert_eq!(statements[1].parameters[4], Value::Text("9.00".into()));
    assert!(effects.staged()[0].text.contains("c.spent + excluded.spent"));
}

#[test]
fn what_the_stock_does_not_have_is_rejected() {
    let _effects = Effects::new().sql("update stock", fails("23514", "stock_not_negative"));
    assert_eq!(answer(ORDER), Err(Failure::reject("order 7: there are no 2 tea")));
    let effects = Effects::new().sql("update stock", Reply::rows(["total"]));
    assert_eq!(answer(ORDER), Err(Failure::reject("order 7: there is no item tea")));
    assert!(effects.staged().is_empty());
}

#[test]
fn an_order_is_taken_once() {
    let _effects = taken().sql("insert into orders", fails("23505", "orders_pkey"));
    assert_eq!(answer(ORDER), Err(Failure::reject("order 7 was taken before")));
}

#[test]
fn what_may_pass_is_tried_again() {
    let timeout = Reply::fails(EffectError::new("57014", "canceling statement due to statement timeout"));
    let _effects = Effects::new().sql("update stock", timeout);
    assert!(!answer(ORDER).expect_err("it failed").is_reject());
    let effects = Effects::new();
    assert!(answer("no JSON").expect_err("no order").is_reject());
    assert!(effects.statements().is_empty());
}
