//! The contract of sources: one suite for every one of them, steered by a description.
//!
//! A source joins by a `Subject`: how to make an empty one, how to send to it from outside, how to
//! end and reopen it. The cases use the ports as the driver does and nothing else. With each source
//! comes a ledger: the source's own, where they share a database, else one beside it.

mod cases;
mod delay;
mod delivery;
mod description;
mod ending;
mod fidelity;
pub mod folder;
mod ledger;
pub mod ledgers;
mod letters;
mod order;
pub mod outbox;
mod probe;

pub use cases::{Case, all, run, skipped, trials};
pub use description::{Description, Need};
pub use probe::Probe;

use pelton_core::Header;
use pelton_core::ports::{BoxFuture, DeadLetters, Ledger, Source};
use std::sync::Arc;

/// A message, as a producer gives it to the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The producer's id; only where the source takes one.
    pub id: Option<String>,
    /// The ordering key; only where the source has them.
    pub key: Option<Vec<u8>>,
    /// Headers; only where the source has them.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
    /// Wait before the first delivery, in milliseconds; only where the source can.
    pub delay_ms: u64,
}

/// What the driver of a pipeline works with.
#[derive(Clone)]
pub struct Ports {
    /// The source under test.
    pub source: Arc<dyn Source>,
    /// Its own ledger, or one beside it.
    pub ledger: Arc<dyn Ledger>,
    /// Where letters go.
    pub letters: Arc<dyn DeadLetters>,
}

/// A kind of source.
pub trait Subject: Send + Sync + 'static {
    /// Its name, for the report.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn description(&self) -> Description;

    /// An empty one, apart from all others.
    fn fresh(&self) -> BoxFuture<'_, Box<dyn Fixture>>;
}

/// One source with its ledger, that can be fed, ended and opened again.
pub trait Fixture: Send + Sync {
    /// The ports, as they are open now.
    fn ports(&self) -> Ports;

    /// Sends as another process does: not through the open source. Returns the messages' ids, in
    /// order, or their bodies where nobody is told the ids; they are the source's when it returns.
    fn send(&self, batch: Vec<Outgoing>) -> BoxFuture<'_, Vec<String>>;

    /// The ids of the messages that have a letter, oldest first, read as an operator does.
    fn lettered(&self) -> BoxFuture<'_, Vec<String>>;

    /// Ends everything in order (`close` first), and opens it again.
    fn restart(&mut self) -> BoxFuture<'_, ()>;

    /// Ends everything as `kill -9` does, and opens it again.
    fn crash(&mut self) -> BoxFuture<'_, ()>;
}
