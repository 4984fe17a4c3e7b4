//! Our side: a pipeline on the queue, with the whole engine behind it.

use super::emulator::Emulator;
use crate::args::Setup;
use crate::load::Load;
use crate::ours::{Dedup, Drained, End, MAX_IN_FLIGHT, NAME, Ours};
use anyhow::Result;
use pelton_sqs::{Connection, SqsOptions, SqsSource};
use std::sync::Arc;
use std::time::Duration;

/// Reads the queue until the whole load is completed.
pub fn drain(
    setup: &Setup,
    emulator: &Emulator,
    ours: &Ours,
    queue_url: &str,
    load: Load,
) -> Result<Drained> {
    let dir = tempfile::tempdir_in(&setup.work_dir)?;
    ours.run(dir.path(), load, Dedup::MessageId, End::Completed, |_, _| {
        let options = SqsOptions {
            pipeline: NAME.into(),
            queue_url: queue_url.to_owned(),
            wait: Duration::from_secs(20),
            visibility: Duration::from_secs(60),
            at_least: ours.concurrency.min(MAX_IN_FLIGHT),
            at_most: MAX_IN_FLIGHT,
        };
        // Of its own: connections belong to the runtime that made them, and each side has one.
        let host = emulator.address.trim_start_matches("http://");
        let source = SqsSource::open(options, Connection::with(pelton_tests::sqs::client(host)));
        Ok(Arc::new(source))
    })
}
