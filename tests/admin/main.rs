//! The worker over HTTP: the real binary, asked by clients that are good, hostile, slow and many.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod api;
mod client;
mod document;
mod events;
mod files;
mod guard;
mod health;
mod rig;
mod slow;
