//! `pelton run`.

use super::{load, options, status, store_fail};
use crate::admin::Admin;
use crate::cli::RunArgs;
use crate::exit::{Fail, Outcome};
use crate::homes::Homes;
use crate::output;
use crate::signals::{self, process_one};
use crate::systemd;
use crate::telemetry::exports::Exports;
use crate::telemetry::logs;
use crate::worker::health::Health;
use crate::worker::{assemble, run as worker, sandbox};
use pelton_store::Store;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a service manager is asked to wait for handlers to be compiled.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs until told to stop, or until nothing is left.
pub fn run(file: &Path, args: &RunArgs) -> Result<u8, Fail> {
    if process_one::is_one() {
        return Ok(process_one::stand_before()?);
    }
    work(file, args).map(|()| 0)
}

fn work(file: &Path, args: &RunArgs) -> Outcome {
    #[cfg(feature = "crash-points")]
    crate::crash::arm();
    sandbox::room_for_worker()?;
    let signals = signals::listen()?;
    output::wait_for_nobody();
    logs::start(args.log_format);
    let mut config = load(file)?;
    let store = Store::open_owner(&config.data_dir, options(&config)).map_err(store_fail)?;
    assemble::keeps_targets(file, &config, &store)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let homes = Arc::new(Homes::new(store.data_dir_id()));
    let health = Health::new();
    let admin = Admin::start(&config, &health, runtime.handle().clone())?;
    {
        let _within = runtime.enter();
        health.listen(&store);
        assemble::grant(file, &mut config, &store, &homes)?;
    }
    let host = sandbox::host(&config, sandbox::cache_dir(&config))?;
    systemd::starting(COMPILE_TIMEOUT);
    let started = assemble::load_handlers(file, &config, &host)?;
    let exports = Exports::start(&config.telemetry).map_err(Fail::refused)?;
    let place = (&store, &homes, &exports);
    let told = (health, admin.begin());
    let run = worker::run((file, &config), place, (host, started), args.until_empty, signals, told);
    let ended = runtime.block_on(run);
    admin.end();
    runtime.shutdown_timeout(Duration::from_secs(1));
    let counts = args.until_empty.then(|| status::look(&config, &store, None)).transpose();
    store.close();
    ended?;
    if let Some(all) = counts? {
        output::json(&status::to_json(&all, Some(std::process::id())));
    }
    Ok(())
}
