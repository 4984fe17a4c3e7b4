//! The store of a data directory, as the program opens it.

use crate::config::{Config, PipelineConfig};
use crate::exit::{CONFIG, Fail, INTERNAL};
use pelton_store::{Options, PipelineStatus, Store, StoreError};

/// How the store of a data directory is opened.
pub fn options(config: &Config) -> Options {
    Options { max_message_bytes: config.max_message_bytes, ..Options::default() }
}

/// The store, beside a worker that may be running.
pub fn open_beside(config: &Config) -> Result<Store, Fail> {
    Store::open_beside(&config.data_dir, options(config)).map_err(store_fail)
}

/// What the reader can mend is a matter of configuration; a failing disk is not.
pub fn store_fail(error: StoreError) -> Fail {
    let code = match error {
        StoreError::Owned { .. }
        | StoreError::Exposed { .. }
        | StoreError::Open { .. }
        | StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::Damaged { .. }
        | StoreError::Waits { .. } => CONFIG,
        _ => INTERNAL,
    };
    Fail::new(code, error)
}

/// What the ledger says of every pipeline, in the order of the configuration.
pub fn statuses(config: &Config, store: &Store) -> Result<Vec<(String, PipelineStatus)>, StoreError> {
    let one = |p: &PipelineConfig| {
        let mut status = store.status(&p.name, p.source.queue(), p.dead_letters.queue())?;
        for place in p.letter_places().into_iter().skip(1).filter(|place| place.is_here()) {
            status.dead_letters += store.letter_count(&p.name, place.queue())?;
        }
        Ok((p.name.clone(), status))
    };
    config.pipelines.iter().map(one).collect()
}
