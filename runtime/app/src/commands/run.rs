//! `pelton run`.

use super::{load, options, status, store_fail};
use crate::cli::RunArgs;
use crate::exit::Outcome;
use crate::output;
use crate::signals;
use crate::telemetry::logs;
use crate::worker::{assemble, run as worker, sandbox};
use pelton_store::Store;
use std::path::Path;
use std::time::Duration;

/// Runs until told to stop, or until nothing is left.
pub fn run(file: &Path, args: &RunArgs) -> Outcome {
    #[cfg(feature = "crash-points")]
    crate::crash::arm();
    sandbox::room_for_worker()?;
    let signals = signals::listen()?;
    output::wait_for_nobody();
    logs::start(args.log_format);
    let mut config = load(file)?;
    let store = Store::open_owner(&config.data_dir, options(&config)).map_err(store_fail)?;
    assemble::keeps_targets(file, &config, &store)?;
    assemble::grant(file, &mut config, &store)?;
    let host = sandbox::host(&config, sandbox::cache_dir(&config))?;
    let started = assemble::load_handlers(file, &config, &host)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let ended =
        runtime.block_on(worker::run((file, &config), &store, (host, started), args.until_empty, signals));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let counts = args.until_empty.then(|| status::look(&config, &store, None)).transpose();
    store.close();
    ended?;
    if let Some(all) = counts? {
        output::json(&status::to_json(&all, Some(std::process::id())));
    }
    Ok(())
}
