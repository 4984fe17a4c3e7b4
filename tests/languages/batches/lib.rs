//! Requests of a batch, each for its message, as the test of batches wants it.

use pelton_sdk::{Failure, Message, http};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    url: String,
    named: bool,
}

#[pelton_sdk::batch_handler]
fn handle(messages: Vec<Message>) -> Vec<Result<(), Failure>> {
    println!("a call of {}", messages.len());
    messages.iter().map(sent).collect()
}

fn sent(message: &Message) -> Result<(), Failure> {
    let order: Order = message.json()?;
    let request = http::post(order.url).body(message.body.clone());
    let request = if order.named { request.message(message) } else { request };
    let answer = request.send()?;
    if answer.status == 200 { Ok(()) } else { Err(Failure::retry(answer.status.to_string())) }
}
