//! Stores orders, many at a time: one write for all of them, instead of one for each.

use pelton_sdk::{Failure, Message};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    id: u64,
    amount_cents: i64,
}

#[pelton_sdk::batch_handler]
fn handle(messages: Vec<Message>) -> Vec<Result<(), Failure>> {
    let mut orders = Vec::new();
    // A failure is that of its message alone.
    let results = messages.iter().map(|message| Ok(orders.push(check(message)?))).collect();
    store(&orders);
    results
}

fn check(message: &Message) -> Result<Order, Failure> {
    let order: Order = message.json()?;
    if order.amount_cents < 0 {
        return Err(Failure::reject(format!("order {}: the amount is negative", order.id)));
    }
    Ok(order)
}

/// Stands in for a bulk insert.
fn store(orders: &[Order]) {
    println!("stored {} orders", orders.len());
}

#[cfg(test)]
mod tests {
    //! The handler is a plain function: these run without Pelton, with `cargo test`.

    use super::*;

    #[test]
    fn a_bad_order_is_rejected_alone() {
        let message = |body: &str| Message::builder().body(body).build();
        let good = message(r#"{"id": 1, "amount_cents": 100}"#);
        let bad = message(r#"{"id": 2, "amount_cents": -1}"#);
        let results = handle(vec![good.clone(), bad, good]);
        let rejected = Err(Failure::reject("order 2: the amount is negative"));
        assert_eq!(results, [Ok(()), rejected, Ok(())]);
    }
}
