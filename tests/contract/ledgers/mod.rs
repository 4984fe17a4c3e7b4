//! The ledgers that keep the contract. One that is added brings a `LedgerSubject`, and a line here.

mod dynamodb;
mod model;
mod mutants;
mod own;
mod postgres;

use libtest_mimic::Trial;
use pelton_tests::contract::ledgers::{LedgerSubject, ledger_trials};
use std::sync::Arc;

/// All tests of ledgers.
pub fn trials() -> Vec<Trial> {
    let subjects: [Arc<dyn LedgerSubject>; 4] = [
        Arc::new(own::DataDirectory),
        Arc::new(model::Model),
        Arc::new(postgres::Postgres),
        Arc::new(dynamodb::DynamoDb),
    ];
    let mut trials: Vec<Trial> = subjects.iter().flat_map(ledger_trials).collect();
    trials.extend(mutants::trials());
    trials
}
