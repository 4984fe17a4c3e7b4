//! Redis: streams, as a member of a consumer group, and lists.
//!
//! What a server can lose it loses here too (see the documentation of its persistence); nothing is lost by
//! Pelton. Server 6.2 or newer. Commands go to one server: in a cluster to the node that has the key.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]
#![forbid(unsafe_code)]

mod ack_writer;
mod admin;
mod advice;
mod client;
mod config;
mod dead_letter_config;
mod dead_letter_record;
mod diagnose;
mod facts;
mod fault;
mod fields;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod in_flight;
mod letter_reader;
mod letters;
mod list;
mod number;
mod one;
mod points;
mod publish;
mod replay;
mod rights;
mod server;
mod shared;
mod skip;
mod stream;
mod task;

pub use client::Client;
pub use config::{ListConfig, RedisConfig, RedisKind, StreamConfig, configure_list, configure_stream};
pub use dead_letter_config::configure_letters;
pub use dead_letter_record::{DeadLetterRecord, LetterPlace};
pub use facts::{ConsumerFacts, GroupFacts, ListFacts, ServerFacts, StreamFacts, WorkerFacts};
pub use fault::OLDEST;
pub use fields::{EntryId, MESSAGE_ID, Names};
pub use letters::RedisLetters;
pub use list::{End, Keys, ListOptions, RedisList};
pub use publish::RedisPublisher;
pub use server::Server;
pub use stream::{Completed, RedisStream, StreamOptions};
