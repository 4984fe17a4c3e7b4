//! Posts a message's body to the address in its header `to`, by a client of somebody else.

use pelton_sdk::{Failure, Message};
use std::time::Duration;
use waki::Client;

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let to = message.header("to").ok_or_else(|| Failure::reject("no header `to`"))?;
    let answer = Client::new()
        .post(to)
        .connect_timeout(Duration::from_secs(5))
        .header("content-type", "text/plain")
        .body(message.body.to_vec())
        .send()
        .map_err(|error| Failure::retry(error.to_string()))?;
    let status = answer.status_code();
    let body = answer.body().map_err(|error| Failure::retry(error.to_string()))?;
    Err(Failure::retry(format!("{status} {}", String::from_utf8_lossy(&body))))
}
