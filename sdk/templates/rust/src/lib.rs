//! Takes orders: JSON in, checked, then charged at a payment gateway.

use pelton_sdk::{Failure, Message};
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
struct Order {
    id: u64,
    amount_cents: i64,
    #[serde(default)]
    gateway_down: bool,
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let order: Order = message.json()?; // not JSON: rejected, a dead letter
    if order.amount_cents < 0 {
        return Err(Failure::reject(format!("order {}: the amount is negative", order.id)));
    }
    charge(&order, &message)?;
    println!("order {} taken", order.id); // a log line of this message
    Ok(())
}

/// Stands in for `pelton_sdk::http::post(...)`. Pelton adds an idempotency key to it, so that no charge is
/// taken twice; `pelton_sdk::testing` answers it in tests.
fn charge(order: &Order, message: &Message) -> Result<(), Failure> {
    if order.gateway_down && message.attempt < 3 {
        let reason = format!("order {}: the payment gateway is down", order.id);
        return Err(Failure::retry(reason).after(Duration::from_millis(50)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! The handler is a plain function: these run without Pelton, with `cargo test`.

    use super::*;

    fn order(rest: &str, attempt: u32) -> Message {
        Message::builder().body(format!(r#"{{"id": 7, {rest}}}"#)).attempt(attempt).build()
    }

    #[test]
    fn an_order_is_taken() {
        assert_eq!(handle(order(r#""amount_cents": 1250"#, 1)), Ok(()));
    }

    #[test]
    fn a_negative_amount_is_rejected() {
        let failure = handle(order(r#""amount_cents": -1"#, 1)).unwrap_err();
        assert_eq!(failure, Failure::reject("order 7: the amount is negative"));
    }

    #[test]
    fn the_gateway_is_waited_for() {
        let down = r#""amount_cents": 1, "gateway_down": true"#;
        assert_eq!(handle(order(down, 1)).unwrap_err().after_ms(), Some(50));
        assert_eq!(handle(order(down, 3)), Ok(()));
    }
}
