use super::handle;
use pelton_sdk::{Failure, Message};
use std::time::Duration;

fn answer(body: &str, attempt: u32) -> Result<(), Failure> {
    handle(Message::builder().body(body).attempt(attempt).build())
}

#[test]
fn an_order_is_taken() {
    let body = r#"{"id": 1, "customer": "ada", "amount_cents": 1999}"#;
    assert_eq!(answer(body, 1), Ok(()));
}

#[test]
fn what_is_no_order_is_rejected_with_its_place() {
    let failure = answer(r#"{"id": "one"}"#, 1).expect_err("no order");
    assert!(failure.is_reject());
    assert!(failure.reason().contains("at `id`"), "{failure}");
}

#[test]
fn a_negative_amount_is_rejected() {
    let body = r#"{"id": 2, "customer": "ada", "amount_cents": -1}"#;
    let expected = Failure::reject("order 2: the amount is negative");
    assert_eq!(answer(body, 1), Err(expected));
}

#[test]
fn a_gateway_that_is_down_is_tried_again_until_it_is_up() {
    let body = r#"{"id": 3, "customer": "ada", "amount_cents": 1, "gateway_down_for": 2}"#;
    let expected = Failure::retry("order 3: the payment gateway is down").after(Duration::from_millis(50));
    assert_eq!(answer(body, 2), Err(expected));
    assert_eq!(answer(body, 3), Ok(()));
}
