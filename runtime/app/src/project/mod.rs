//! A handler's project, in whatever language: made from a template, built, tested, tried out while it is
//! written.
//!
//! A language is data: a folder of templates whose `handler.toml` says which tools it wants and which
//! commands build and test it. The code here knows none of them, but for Rust's second compiler.

pub mod build;
pub mod cases;
pub mod dev;
pub mod grants;
pub mod install;
pub mod limits;
pub mod manifest;
mod module;
mod rust;
pub mod shell;
pub mod sql;
pub mod template;
mod tools;

pub use manifest::Project;
