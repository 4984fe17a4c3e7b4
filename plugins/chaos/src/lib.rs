//! Does what its messages say, good or bad: for demonstrations, and to see a pipeline's limits at
//! work. `{"do": "spin"}` loops for ever; see `Act` for the rest. With `"times": n` it does so on
//! the first n attempts only, and is well after them.

use pelton_sdk::{Failure, Message};
use serde::Deserialize;
use std::{hint::black_box, thread::sleep, time::Duration};

#[derive(Deserialize)]
struct Order {
    #[serde(rename = "do")]
    act: Act,
    #[serde(default = "always")]
    times: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Act {
    Ok,
    Retry,
    Reject,
    Trap,
    Spin,
    Sleep,
    Grow,
    Flood,
    Exit,
    Stack,
}

fn always() -> u32 {
    u32::MAX
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let order: Order = message.json()?;
    match order.act {
        _ if message.attempt > order.times => Ok(()),
        Act::Ok => Ok(()),
        Act::Retry => Err(Failure::retry("asked to retry")),
        Act::Reject => Err(Failure::reject("asked to reject")),
        Act::Trap => panic!("asked to trap"),
        Act::Spin => loop {
            black_box(());
        },
        #[allow(clippy::disallowed_methods, reason = "being stuck is what was asked for")]
        Act::Sleep => Ok(sleep(Duration::from_secs(3600))),
        Act::Grow => Ok(drop(grow())),
        Act::Flood => loop {
            println!("{}", "flood ".repeat(20));
        },
        Act::Exit => std::process::exit(1),
        Act::Stack => Err(Failure::retry(descend(1).to_string())),
    }
}

/// Takes memory until there is none.
fn grow() -> Vec<Vec<u8>> {
    (0..).map(|_| black_box(vec![1; 1 << 20])).collect()
}

/// Calls itself until the stack is full.
#[allow(unconditional_recursion)]
fn descend(depth: u64) -> u64 {
    black_box(descend(black_box(depth + 1)) + depth)
}

#[cfg(test)]
mod tests;
