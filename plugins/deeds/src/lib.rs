//! Does what its messages say with state and outbox, then answers as they say: for demonstrations, and to see
//! what commits. `{"add": "total", "send": ["receipts"], "then": "retry", "times": 1}` counts a total up and
//! sends a receipt, of which the first attempt leaves nothing.

use pelton_sdk::{Failure, Message, outbox, state};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Deeds {
    /// A key of state to count up.
    add: Option<String>,
    /// The store that it is in, if it is another than the pipeline's own.
    store: Option<String>,
    /// Targets to send the body to.
    send: Vec<String>,
    /// The ordering key of what is sent.
    key: Option<String>,
    /// Headers of what is sent.
    headers: Vec<(String, String)>,
    /// Bytes of a body to send instead.
    size: Option<usize>,
    /// `ok`, `retry` or `reject`.
    then: String,
    /// The last attempt that answers so; those after it are well.
    times: Option<u32>,
}

impl Default for Deeds {
    fn default() -> Self {
        let then = "ok".to_owned();
        Self {
            add: None,
            store: None,
            send: Vec::new(),
            key: None,
            headers: Vec::new(),
            size: None,
            then,
            times: None,
        }
    }
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let deeds: Deeds = message.json()?;
    if let Some(key) = &deeds.add {
        match &deeds.store {
            Some(store) => state::store(store).increment(key, 1)?,
            None => state::increment(key, 1)?,
        };
    }
    for target in &deeds.send {
        let body = deeds.size.map_or_else(|| message.body.clone(), |size| vec![b'x'; size]);
        let mut next = outbox::to(target).body(body);
        if let Some(key) = &deeds.key {
            next = next.key(key.as_str());
        }
        for (name, value) in &deeds.headers {
            next = next.header(name, value.as_str());
        }
        if let Err(why) = next.send() {
            return Err(Failure::reject(why.to_string()));
        }
    }
    let is_over = deeds.times.is_some_and(|times| message.attempt > times);
    match deeds.then.as_str() {
        "retry" if !is_over => Err(Failure::retry("asked to retry")),
        "reject" if !is_over => Err(Failure::reject("asked to reject")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
