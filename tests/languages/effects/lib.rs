//! Every effect, as the test of effects wants it.

use pelton_sdk::{Failure, Message, config, http, outbox, state};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Deserialize, Serialize)]
struct Order {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    path: String,
    #[serde(default)]
    cents: u64,
    receipt: Option<u64>,
    #[serde(default)]
    nowhere: bool,
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let order: Order = message.json()?;
    if let Some(receipt) = order.receipt {
        let key = String::from_utf8_lossy(message.key.as_deref().unwrap_or_default()).into_owned();
        println!("receipt {receipt} of {key}, {}", message.header("kind").unwrap_or_default());
        return Ok(());
    }
    let request = http::post(config::require("gateway")? + &order.path)
        .header("x-order", order.id.to_string())
        .json(&order)
        .timeout(Duration::from_secs(2))
        .message(&message);
    let answer = request.send().map_err(|error| Failure::reject(error.to_string()))?.ok()?;
    let count = state::increment("count", 1)?;
    if state::compare_and_set("first", None, order.id.to_string())? {
        println!("the first");
    }
    state::delete("gone")?;
    let totals = state::store("totals");
    totals.set_json("all", &(totals.get_json::<u64>("all")?.unwrap_or_default() + order.cents))?;
    let mut keys = state::list()?;
    keys.sort();
    println!("{} {} {count} {}", answer.status, answer.body.len(), keys.join(","));
    let receipt = outbox::to("receipts").body(format!("{{\"receipt\":{}}}", order.id)).key("k");
    receipt.header("kind", "r").delay(Duration::from_millis(1)).send()?;
    if order.nowhere {
        outbox::send("nowhere", "")?;
    }
    Ok(())
}
