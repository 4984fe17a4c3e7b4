//! Support for the suites that need more than one crate: the contract that every source must keep,
//! and what starts, feeds, watches and kills the real binary.
//!
//! The books of the crash suite are kept here, apart from the code they check: they read the database
//! with SQL of their own and know nothing of the store's. Nothing here decides anything for Pelton,
//! and nothing of Pelton may import it. A test that cannot go on panics: `expect` says on what.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]
#![forbid(unsafe_code)]

pub mod again;
pub mod bank;
pub mod binary;
pub mod books;
pub mod collector;
pub mod components;
pub mod contract;
pub mod denying;
pub mod dynalite;
pub mod gateway;
pub mod http_stub;
pub mod kafka;
pub mod kafka_acls;
pub mod kafka_commits;
pub mod kafka_secure;
pub mod kafka_wire;
pub mod log;
pub mod member;
pub mod memory;
pub mod panics;
pub mod payment_gateway;
pub mod payments;
pub mod ports;
pub mod postgres;
pub mod pressure;
pub mod proxy;
pub mod random;
pub mod redis;
pub mod registry;
pub mod s3_stub;
pub mod schema_registry;
pub mod settings;
pub mod site;
pub mod small_disk;
pub mod sqs;
pub mod sqs_stub;
pub mod wait;
pub mod worker;
