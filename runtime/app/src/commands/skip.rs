//! `pelton skip`: gives up on one message, which becomes a dead letter without another start.
//!
//! The worker of the data directory does it, if one runs: it alone knows what is in work. Else this process
//! is the owner for as long as it takes.

use crate::cli::SkipArgs;
use crate::commands::{confirm, find, load, options, store_fail};
use crate::config::{Config, PipelineConfig};
use crate::control::client::{ask, unexpected};
use crate::control::protocol::{Reply, Request, SkipRequest};
use crate::deploy::catalog::Catalog;
use crate::exit::{Fail, Outcome};
use crate::homes::Homes;
use crate::worker::assemble;
use crate::worker::skip::letter::write_letter;
use crate::worker::skip::{SkipTarget, look, named};
use pelton_core::broker::Look;
use pelton_core::shown::shown;
use pelton_store::Store;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a reason, at most.
const REASON: usize = 1_024;

/// Gives up on a message.
pub fn skip(file: &Path, args: &SkipArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?.clone();
    if args.place.is_empty() {
        return Err(Fail::usage("PLACE is empty; `pelton skip --help` says what names a message"));
    }
    is_reason(&args.reason)?;
    confirm(
        args.yes,
        "a message that is skipped is not handled any more",
        &format!("give up on {} of {}? It becomes a dead letter.", shown(&args.place), args.pipeline),
        "nothing was skipped",
    )?;
    let request = Request::Skip(SkipRequest {
        pipeline: pipeline.name.clone(),
        place: args.place.clone(),
        reason: args.reason.clone(),
        wait_ms: pelton_core::number::millis(args.wait),
    });
    let more = match ask(&config.data_dir, request, |_| {})? {
        Some(Reply::Skip { note }) => note,
        Some(other) => return Err(unexpected(&other)),
        None => alone(config, pipeline, args)?,
    };
    let name = &args.pipeline;
    say!("skipped {} of {name}; `pelton dlq list {name}` shows its letter", shown(&args.place));
    if let Some(more) = more {
        note!("note: {more}");
    }
    Ok(())
}

/// The reason becomes a header at some brokers.
fn is_reason(text: &str) -> Outcome {
    if text.trim().is_empty() || text.len() > REASON || text.contains(char::is_control) {
        return Err(Fail::usage(format!(
            "--reason takes a line of text, up to {REASON} bytes: its letter says it"
        )));
    }
    Ok(())
}

/// In this process, which owns the data directory meanwhile. What is to be said beside.
fn alone(config: Config, pipeline: PipelineConfig, args: &SkipArgs) -> Result<Option<String>, Fail> {
    let store = Store::open_owner(&config.data_dir, options(&config)).map_err(store_fail)?;
    let catalog = Catalog::open(&config.data_dir, &pipeline.name);
    let digest = catalog.state().promoted().map(|kept| kept.digest.clone()).unwrap_or_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let homes = Homes::new(store.data_dir_id());
    let ledger = {
        let _within = runtime.enter();
        assemble::ledger_of((&store, &homes), &pipeline, digest.as_str().into())?
    };
    let place = SkipTarget {
        config: Arc::new(config),
        pipeline,
        store: store.clone(),
        ledger: ledger.clone(),
        text: args.place.clone(),
        wait: args.wait,
        runs: false,
    };
    named(&place).map_err(Fail::usage)?;
    let found = match look(&place).map_err(Fail::refused)? {
        Look::Here(found) => found,
        Look::Comes => return Err(Fail::refused(format!("{} is not there", place.text))),
    };
    let written = runtime.block_on(async {
        let letters = assemble::letters(&place.config, &place.pipeline, &store, &ledger)?;
        let written = write_letter(&place, letters, found, args.reason.clone()).await;
        homes.close().await;
        written.map_err(Fail::refused)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    let note = written.and_then(|after| after().map_err(Fail::refused));
    store.close();
    note
}
