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
mod outbox;
mod outbox_config;
mod points;
mod publish;
mod replay;
mod reset;
mod rights;
mod server;
mod shared;
mod skip;
mod stream;
mod task;

pub use config::{RedisConfig, configure_list, configure_stream};
pub use dead_letter_config::configure_letters;
pub use dead_letter_record::LetterPlace;
pub use fields::{MESSAGE_ID, Names};
pub use letters::RedisLetters;
pub use list::{End, ListOptions, RedisList};
pub use outbox_config::{RedisTarget, configure_list_target, configure_stream_target};
pub use server::Server;
pub use stream::{RedisStream, StreamOptions};

use client::Client;
use config::{RedisKind, StreamConfig};
use facts::{ConsumerFacts, ListFacts, ServerFacts, StreamFacts, WorkerFacts};
use fault::OLDEST;
use fields::EntryId;
use list::Keys;
use publish::RedisPublisher;
use stream::Completed;
