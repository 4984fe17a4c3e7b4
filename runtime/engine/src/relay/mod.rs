//! The way from the outbox to brokers. What handlers send has been committed with what it is the effect of;
//! a relay for each target sends it from there: in order per key, in batches, until the broker has it.

use pelton_core::broker::{Publisher, Unsent};
use pelton_core::effects::{OutboxHome, Target};
use std::sync::Arc;

/// What a pipeline sends to other brokers: who keeps it, and where it goes.
#[derive(Clone)]
pub struct Outbox {
    /// Who keeps it.
    pub home: Arc<dyn OutboxHome>,
    /// Where it goes, each target once. Queues of the home itself are not among them: what is sent there is
    /// there with the commit.
    pub outlets: Vec<Outlet>,
}

/// One target of an outbox.
#[derive(Clone)]
pub struct Outlet {
    /// Its name, as handlers use it.
    pub name: Arc<str>,
    /// Its number, as the home knows it.
    pub target: Target,
    /// The most messages to give its publisher at once.
    pub max_batch: usize,
    /// Whether its publisher keeps the order of a key within a batch, whatever fails: behind a message that
    /// was not sent it sends none of its key. Otherwise it is given one of each key at a time.
    pub keeps_order: bool,
    /// Opens the way there. May block.
    pub open: OpenOutlet,
}

/// Opens the way to a target. It is asked until it succeeds, and again after a panic of what it gave.
pub type OpenOutlet = Arc<dyn Fn() -> Result<Box<dyn Publisher>, Unsent> + Send + Sync>;
