//! Charges orders at a payment gateway over HTTP, keeps what each customer has paid, and sends a receipt.
//!
//! The host puts an idempotency key into each request, the same each time an order is handled: so the gateway
//! charges once. What is paid and the receipt are committed with the order, once, or not at all.

use pelton_sdk::http::{self, Response};
use pelton_sdk::{Failure, Message, config, outbox, state};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long the gateway may take for each part of its answer.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(5);
/// What a customer may be called, in bytes: it is part of a key.
const CUSTOMER_BYTES: usize = 200;

#[derive(Deserialize)]
struct Order {
    id: u64,
    customer: String,
    amount_cents: i64,
}

/// What the gateway is asked.
#[derive(Serialize)]
struct Charge<'o> {
    order: u64,
    customer: &'o str,
    amount_cents: i64,
}

/// What it answers.
#[derive(Deserialize)]
struct Charged {
    id: String,
}

/// What goes to the customer.
#[derive(Serialize)]
struct Receipt<'o> {
    order: u64,
    customer: &'o str,
    amount_cents: i64,
    total_cents: i64,
    charge: &'o str,
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    // A body that is no order is rejected, with the place where it is malformed.
    let order: Order = message.json()?;
    let refused = |what: &str| Failure::reject(format!("order {}: {what}", order.id));
    if order.amount_cents <= 0 {
        return Err(refused("the amount is not positive"));
    }
    if !(1..=CUSTOMER_BYTES).contains(&order.customer.len()) {
        return Err(refused("the customer's name is empty or too long"));
    }
    let charge = charge(&order)?;
    let total_cents = state::increment(&format!("total/{}", order.customer), order.amount_cents)?;
    receipt(&order, total_cents, &charge.id)?;
    eprintln!("order {} of {} charged: {}", order.id, order.customer, charge.id);
    Ok(())
}

/// Asks the gateway for the money. A retry asks again, with the same idempotency key.
fn charge(order: &Order) -> Result<Charged, Failure> {
    let Order { id, customer, amount_cents } = order;
    let url = format!("{}/charges", config::require("gateway")?);
    let charge = Charge { order: *id, customer, amount_cents: *amount_cents };
    // No answer (refused, reset, too late) is a retry, with the error as its reason.
    let answer = http::post(url).timeout(GATEWAY_TIMEOUT).json(&charge).send()?;
    let said = || format!("order {id}: the gateway says {}: {}", answer.status, beginning(&answer));
    match answer.status {
        200..=299 => Ok(answer.json()?),
        // The first request with this key is in work still, or there are too many: later.
        409 | 429 => Err(Failure::retry(said()).after(retry_after(&answer))),
        400..=499 => Err(Failure::reject(said())),
        _ => Err(Failure::retry(said())),
    }
}

/// What the gateway asks for, or a second.
fn retry_after(answer: &Response) -> Duration {
    let seconds = answer.header("retry-after").and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

fn beginning(answer: &Response) -> String {
    answer.text().chars().take(200).collect()
}

fn receipt(order: &Order, total_cents: i64, charge: &str) -> Result<(), Failure> {
    let Order { id, customer, amount_cents } = order;
    let receipt = Receipt { order: *id, customer, amount_cents: *amount_cents, total_cents, charge };
    let body = serde_json::to_vec(&receipt)?;
    outbox::to("receipts").key(customer.as_str()).body(body).send()?;
    Ok(())
}

#[cfg(test)]
mod tests;
