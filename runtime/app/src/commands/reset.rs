//! `pelton reset`: moves what a pipeline reads next.
//!
//! The worker of the data directory does it, if one runs: it is a member of the group, and knows the ledger
//! by heart. Else this process is the owner for as long as it takes.

use crate::books::PipelineBooks;
use crate::cli::ResetArgs;
use crate::commands::steer::who;
use crate::commands::{confirm, find, load, options, store_fail};
use crate::config::{Config, PipelineConfig};
use crate::control::client::{ask, unexpected};
use crate::control::protocol::{Reply, Request};
use crate::control::steering::{ResetReply, ResetRequest, ResetTo};
use crate::deploy::catalog::Catalog;
use crate::exit::{Fail, Outcome};
use crate::homes::Homes;
use crate::worker::assemble;
use crate::worker::reset::{can_forget, perform, plan, reply, resets};
use pelton_store::Store;
use std::path::Path;
use std::time::Duration;

/// Moves it, when that was confirmed.
pub fn reset(file: &Path, args: &ResetArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?.clone();
    resets(&pipeline).map_err(Fail::usage)?;
    if Store::owner_of(&config.data_dir).is_none() {
        return alone(&config, &pipeline, args);
    }
    let by_worker =
        |plan| match ask(&config.data_dir, Request::Reset(request(&pipeline, args, plan)), |_| {})? {
            Some(Reply::Reset(told)) => Ok(told),
            Some(other) => Err(unexpected(&other)),
            None => Err(Fail::refused("the worker has ended meanwhile: ask again")),
        };
    let planned = by_worker(true)?;
    if !confirmed(&pipeline, &planned, args)? {
        return Ok(());
    }
    by_worker(false).map(|_| moved(&pipeline))
}

fn request(pipeline: &PipelineConfig, args: &ResetArgs, plan: bool) -> ResetRequest {
    ResetRequest { pipeline: pipeline.name.clone(), to: place(args), plan, forget: args.forget, by: who() }
}

/// One of the places is always named.
fn place(args: &ResetArgs) -> ResetTo {
    match (&args.to_id, args.to_timestamp) {
        (Some(id), _) => ResetTo::Id(id.clone()),
        (None, Some(ms)) => ResetTo::TimestampMs(ms),
        (None, None) if !args.to_offset.is_empty() => ResetTo::Offsets(args.to_offset.clone()),
        (None, None) => ResetTo::Beginning,
    }
}

/// Shows what it comes to, and asks; whether there is anything to do.
fn confirmed(pipeline: &PipelineConfig, planned: &ResetReply, args: &ResetArgs) -> Result<bool, Fail> {
    if planned.moves.is_empty() {
        say!("{} stands there already: nothing has moved", pipeline.name);
        return Ok(false);
    }
    planned.moves.iter().for_each(|line| say!("{line}"));
    planned.notes.iter().for_each(|line| say!("{line}"));
    let question = format!("move {} like that?", pipeline.name);
    let why = "a reset has messages read again, or passed by";
    confirm(args.yes, why, &question, "nothing was moved").map(|()| true)
}

fn moved(pipeline: &PipelineConfig) {
    say!("{} has moved", pipeline.name);
}

/// In this process, which owns the data directory meanwhile.
fn alone(config: &Config, pipeline: &PipelineConfig, args: &ResetArgs) -> Outcome {
    let store = Store::open_owner(&config.data_dir, options(config)).map_err(store_fail)?;
    let catalog = Catalog::open(&config.data_dir, &pipeline.name);
    let digest = catalog.state().promoted().map(|kept| kept.digest.clone()).unwrap_or_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let homes = Homes::new(store.data_dir_id());
    let ledger = {
        let _within = runtime.enter();
        assemble::ledger_of((&store, &homes), pipeline, digest.as_str().into())?
    };
    let books = PipelineBooks::new(config, &pipeline.name, &store, &ledger);
    let done = move_alone(config, pipeline, args, &books);
    runtime.block_on(homes.close());
    runtime.shutdown_timeout(Duration::from_secs(1));
    store.close();
    done
}

fn move_alone(
    config: &Config,
    pipeline: &PipelineConfig,
    args: &ResetArgs,
    books: &PipelineBooks,
) -> Outcome {
    let moves = plan(config, pipeline, &place(args), books)?;
    if args.forget {
        can_forget(config, pipeline, &moves).map_err(Fail::refused)?;
    }
    if confirmed(pipeline, &reply(config, pipeline, &moves, args.forget), args)? {
        perform(config, pipeline, &moves, args.forget, books)?;
        moved(pipeline);
    }
    Ok(())
}
