//! Write a Pelton message handler in Rust: one function, compiled to a WebAssembly component.
//!
//! ```
//! use pelton_sdk::{Failure, Message};
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     id: u64,
//!     amount_cents: i64,
//! }
//!
//! #[pelton_sdk::handler]
//! fn handle(message: Message) -> Result<(), Failure> {
//!     let order: Order = message.json()?;
//!     if order.amount_cents < 0 {
//!         return Err(Failure::reject("the amount is negative"));
//!     }
//!     eprintln!("order {} taken", order.id);
//!     Ok(())
//! }
//!
//! // It stays a plain function, so `cargo test` runs it natively:
//! let message = Message::builder().body(r#"{"id": 7, "amount_cents": -1}"#).build();
//! assert_eq!(handle(message), Err(Failure::reject("the amount is negative")));
//! ```
//!
//! In the handler's `Cargo.toml`: `[lib] crate-type = ["cdylib"]`, and this crate as a dependency.
//! `cargo build --release --target wasm32-wasip2` then makes the component.
//!
//! - [`handler`] for one message at a time, [`batch_handler`] for many.
//! - `Ok` settles the message, [`Failure`] says retry or reject, `?` on a usual error is a retry,
//!   and a panic is one line on standard error and counts as a retry.
//! - [`http`], [`config`], [`state`], [`outbox`] and [`sql`](mod@sql) are what a handler may do beside its
//!   answer, where its pipeline grants it; in tests `testing` stands in for them.
//! - What the handler prints becomes log lines with the pipeline's name and the message's id.
//!
//! Owns the words a handler is written in, and the way between them and the contract in `wit/`.
//! It must not know how messages are received, retried or stored: that is the runtime's business.

#![cfg_attr(not(target_family = "wasm"), forbid(unsafe_code))]

mod builder;
pub mod config;
mod effect_error;
#[cfg(target_family = "wasm")]
#[allow(missing_docs, unsafe_code, clippy::all)]
mod effects;
mod failure;
pub mod http;
mod message;
pub mod outbox;
pub mod sql;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, clippy::all)]
pub mod wire;

#[cfg(target_family = "wasm")]
use effects as backend;
#[cfg(not(target_family = "wasm"))]
use testing as backend;

pub use builder::MessageBuilder;
pub use effect_error::EffectError;
pub use failure::{Failure, OrReject};
pub use message::{Header, Message};
pub use sql::sql;

/// Makes `fn(Message) -> Result<(), Failure>` the component's handler, called with one message at a
/// time. One per crate.
///
/// The function itself is left as it is, so a test can call it.
///
/// ```
/// use pelton_sdk::{Failure, Message};
///
/// #[pelton_sdk::handler]
/// fn handle(message: Message) -> Result<(), Failure> {
///     println!("{} bytes", message.body.len());
///     Ok(())
/// }
/// ```
///
/// A function of another shape is an error where it is written, natively too:
///
/// ```compile_fail
/// #[pelton_sdk::handler]
/// fn handle(message: pelton_sdk::Message) -> bool {
///     message.body.is_empty()
/// }
/// ```
pub use pelton_sdk_macros::handler;

/// Makes `fn(Vec<Message>) -> Vec<Result<(), Failure>>` the component's handler, called with many
/// messages at a time. One per crate, instead of [`handler`].
///
/// The list is never empty. The results are the messages', in the same order; a list of another
/// length is a panic. Messages with the same key come in their order, and when one of them fails,
/// those behind it run again, whatever was answered for them. After a panic or a timeout each
/// message is run again in a list of its own, so that the one to blame is found.
///
/// ```
/// use pelton_sdk::{Failure, Message};
///
/// #[pelton_sdk::batch_handler]
/// fn handle(messages: Vec<Message>) -> Vec<Result<(), Failure>> {
///     messages.iter().map(|message| message.text().map(drop)).collect()
/// }
///
/// let good = Message::builder().body("a").build();
/// let bad = Message::builder().body([0xff]).build();
/// let results = handle(vec![good, bad]);
/// assert!(results[0].is_ok() && results[1].is_err());
/// ```
pub use pelton_sdk_macros::batch_handler;
