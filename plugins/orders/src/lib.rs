//! Takes orders: JSON in, checked, then charged at a payment gateway.

use pelton_sdk::{Failure, Message};
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
struct Order {
    id: u64,
    customer: String,
    amount_cents: i64,
    /// The gateway is down for the first so many attempts: it stands in for one that really is.
    #[serde(default)]
    gateway_down_for: u32,
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    // A body that is no order is rejected, with the place where it is malformed.
    let order: Order = message.json()?;
    if order.amount_cents < 0 {
        let text = format!("order {}: the amount is negative", order.id);
        return Err(Failure::reject(text));
    }
    charge(&order, message.attempt, &message.idempotency_key)?;
    eprintln!("order {} of {} taken", order.id, order.customer);
    Ok(())
}

/// Charges the customer. The key keeps a charge that is made twice from being taken twice.
fn charge(order: &Order, attempt: u32, _idempotency_key: &str) -> Result<(), Failure> {
    if attempt <= order.gateway_down_for {
        let text = format!("order {}: the payment gateway is down", order.id);
        return Err(Failure::retry(text).after(Duration::from_millis(50)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
