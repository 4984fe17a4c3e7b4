//! The measured handler: does with a message what its body asks for, by the same function that the
//! native side of each row calls.

use pelton_sdk::{Failure, Message};

#[path = "../../src/work.rs"]
mod work;

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    std::hint::black_box(work::run(&message.body));
    Ok(())
}
