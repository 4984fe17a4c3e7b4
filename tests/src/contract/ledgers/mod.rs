//! The contract of ledgers: one suite for every one of them, the shared ones asked more.
//!
//! A ledger joins by a `LedgerSubject`: how to make an empty one, and how workers open it, die, end and stand
//! still. The cases use the port as the engine does and nothing else.

mod alone;
mod away;
mod cases;
mod fleet;
mod probe;
mod race;

pub use cases::{LedgerCase, ledger_cases, ledger_trials, run_ledger_case};
pub use probe::{LedgerProbe, after};

use pelton_core::database::DatabaseHome;
use pelton_core::ports::{BoxFuture, DeadLetters, Ledger};
use std::sync::Arc;
use std::time::Duration;

/// What a kind of ledger can do.
#[derive(Debug, Clone, Copy)]
pub struct LedgerDescription {
    /// Several workers claim in it; none where it is one worker's own.
    pub shared: bool,
    /// Workers can be cut off from it.
    pub remote: bool,
    /// What was claimed and never answered is given back while its worker lives: else others wait for it as
    /// long as that one does not ask again.
    pub gives_back: bool,
    /// From when a claim of a worker that is not heard of may be taken over.
    pub claim_timeout: Duration,
}

/// A kind of ledger.
pub trait LedgerSubject: Send + Sync + 'static {
    /// Its name, for the report.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn description(&self) -> LedgerDescription;

    /// An empty one, apart from all others.
    fn fresh(&self) -> BoxFuture<'_, Box<dyn LedgerFixture>>;
}

/// One ledger.
pub trait LedgerFixture: Send + Sync {
    /// Opens it for a worker with a data directory of its own. Called once where it is not shared.
    fn worker(&mut self) -> BoxFuture<'_, Box<dyn LedgerWorker>>;
}

/// A worker that has it open.
pub trait LedgerWorker: Send + Sync {
    /// The ledger, as it is open now.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// The database that it is in; none of one that is in no database, or a model.
    fn home(&self) -> Option<Arc<dyn DatabaseHome>> {
        None
    }

    /// What ends in it the messages that have a letter.
    fn letters(&self) -> Arc<dyn DeadLetters>;

    /// The worker ends as `kill -9` does, and stays dead.
    fn die(&mut self) -> BoxFuture<'_, ()>;

    /// The worker ends in order.
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// It is started again with its data directory, after it died or ended.
    fn begin(&mut self) -> BoxFuture<'_, ()>;

    /// Nothing of it comes to the ledger any more, and it is told nothing of that. Only of remote ones.
    fn stand_still(&self) {}

    /// It goes on as if nothing had been.
    fn go_on(&self) {}

    /// Its connections end, what was asked already is done, and new ones end at once. Only of remote ones.
    fn cut(&self) {}

    /// New connections are good again.
    fn mend(&self) {}
}
