//! Languages suite: handlers as their authors make them, from the command line as typed. Each is compiled
//! from source by the language's own tools, which `script/languages` installs.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod batches;
mod beside;
mod cases;
mod dev;
mod effects;
mod forms;
mod project;
mod refused;
mod sql;
mod usual;
