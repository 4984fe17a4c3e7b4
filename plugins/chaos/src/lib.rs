//! Does what its messages say, good or bad: for demonstrations, and to see a pipeline's limits at
//! work. `{"do": "spin"}` loops for ever; with `"times": 2` it does so on the first two attempts,
//! and is well after them.

use pelton_sdk::{Failure, Message};
use serde::Deserialize;
use std::{hint::black_box, process, thread, time::Duration};

#[derive(Deserialize)]
struct Order {
    r#do: String,
    times: Option<u32>,
}

#[pelton_sdk::handler]
#[allow(clippy::disallowed_methods, reason = "being stuck and leaving are what is asked for")]
fn handle(message: Message) -> Result<(), Failure> {
    let order: Order = message.json()?;
    if order.times.is_some_and(|times| message.attempt > times) {
        return Ok(());
    }
    match order.r#do.as_str() {
        "ok" => {}
        "retry" => return Err(Failure::retry("asked to retry")),
        "reject" => return Err(Failure::reject("asked to reject")),
        "trap" => panic!("asked to trap"),
        "spin" => loop {
            black_box(());
        },
        "sleep" => thread::sleep(Duration::from_secs(3600)),
        "grow" => grow(),
        "flood" => loop {
            println!("{}", "flood ".repeat(20));
        },
        "exit" => process::exit(1),
        "stack" => eprintln!("{} calls", descend(1)),
        other => return Err(Failure::reject(format!("cannot do `{other}`"))),
    }
    Ok(())
}

/// Takes memory until there is none.
fn grow() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Calls itself until the stack is full.
#[allow(unconditional_recursion)]
fn descend(depth: u64) -> u64 {
    black_box(descend(black_box(depth + 1)) + depth)
}

#[cfg(test)]
mod tests;
