//! What stands between a message as its broker has it and what a handler sees: its envelope is opened, then
//! its schema is checked. An implementation of [`pelton_core::ports::Decoder`]. And what leaves as an event.
//!
//! Whatever comes in comes from outside: nothing here panics, grows without a bound or runs on a pipeline's
//! task. This crate knows no broker, no ledger and no handler.

mod decoder;
mod envelopes;
mod events;
mod objects;
#[cfg(feature = "s3")]
mod s3;
mod schema;
#[cfg(feature = "schemas")]
pub mod schemas;

pub use decoder::MessageDecoder;
pub use envelopes::{Envelope, Opening, Pointer};
pub use events::{EventLetters, EventTarget, Form};
pub use objects::{ObjectStore, ObjectsConfig};
#[cfg(feature = "s3")]
pub use s3::S3Objects;
pub use schema::{Schema, Verdict};
