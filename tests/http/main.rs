//! HTTP of handlers: real components, compiled from source, against a server that misbehaves.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod addresses;
mod answers;
mod ends;
mod keys;
mod limits;
mod rig;
mod tls;
mod tunnel;
mod worker;
