//! The handler of P16: sends each message's body to the place that its configuration names.

use pelton_sdk::{Failure, Message, config, http};
use std::cell::OnceCell;

thread_local! {
    /// Read once for each instance.
    static PLACE: OnceCell<String> = const { OnceCell::new() };
}

#[pelton_sdk::handler]
fn handle(message: Message) -> Result<(), Failure> {
    let place = PLACE.with(|place| match place.get() {
        Some(known) => Ok(known.clone()),
        None => {
            let told = config::get("place")?.ok_or_else(|| Failure::reject("no `place` is configured"))?;
            Ok::<_, Failure>(place.get_or_init(|| told).clone())
        }
    })?;
    http::post(place).body(message.body).send()?.ok()?;
    Ok(())
}
