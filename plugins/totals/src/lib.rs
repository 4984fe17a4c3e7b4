//! Adds up payments by account, a batch at a time: one write for each account and batch, instead
//! of one for each payment. The write is a log line here; it would be a bulk insert.

use pelton_sdk::{Failure, Message};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

#[derive(Deserialize)]
struct Payment {
    account: String,
    cents: u64,
}

#[pelton_sdk::batch_handler]
fn handle(messages: Vec<Message>) -> Vec<Result<(), Failure>> {
    let mut totals = BTreeMap::new();
    let mut failed = HashSet::new();
    let results = messages
        .iter()
        .map(|message| {
            // Behind a failure, messages of the same key run again whatever is answered here: what
            // is added up for them now would be added up twice.
            if message.key.is_some() && failed.contains(&message.key) {
                return Err(Failure::retry("an earlier payment of this key failed"));
            }
            add(message, &mut totals).inspect_err(|_| {
                failed.insert(&message.key);
            })
        })
        .collect();
    for (account, (payments, cents)) in &totals {
        eprintln!("account {account}: {payments} payments, {cents} cents");
    }
    results
}

fn add(message: &Message, totals: &mut BTreeMap<String, (u64, u64)>) -> Result<(), Failure> {
    let payment: Payment = message.json()?;
    let total = totals.entry(payment.account).or_default();
    total.0 += 1;
    total.1 = total.1.saturating_add(payment.cents);
    Ok(())
}

#[cfg(test)]
mod tests;
