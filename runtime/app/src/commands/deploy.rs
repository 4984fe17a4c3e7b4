//! `pelton deploy` and `pelton rollback`: by the worker that runs, or for the next start.

use super::import_changes::{import_changes, want_changes};
use super::{find, load, options, store_fail, trial};
use crate::cli::DeployArgs;
use crate::config::{Component, Config, PipelineConfig};
use crate::control::client::{ask, unexpected};
use crate::control::protocol::{
    DeployRequest, Deployment, PinnedReference, Progress, Reply, Request, Rollback,
};
use crate::deploy::catalog::Catalog;
use crate::deploy::fetch::{self, Want};
use crate::deploy::state::{Kept, Pin};
use crate::deploy::{rollout, signature};
use crate::exit::{Fail, Outcome};
use crate::grants;
use crate::homes::Homes;
use crate::worker::{assemble, sandbox};
use pelton_core::rollout::SHARE;
use pelton_host::{Description, describe, missing};
use pelton_store::Store;
use std::path::Path;

/// Deploys a file.
pub fn deploy(file: &Path, args: &DeployArgs) -> Outcome {
    let share = share(args)?;
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?;
    let shown = args.component.display();
    let refused = |why: &dyn std::fmt::Display| Fail::refused(format!("{shown} {why}"));
    let component = Component::named(&args.component).map_err(|why| refused(&why))?;
    let want = Want { max: config.max_component_bytes, keys: &pipeline.handler.keys };
    let fetch::Fetched { bytes, signature, pin } =
        fetch::fetch(&component, want).map_err(|why| refused(&why))?;
    let found = describe(&bytes, config.max_component_bytes).map_err(|e| refused(&e))?;
    let catalog = Catalog::open(&config.data_dir, &pipeline.name);
    show(pipeline, catalog.state().promoted(), &found);
    // Before it is kept: a good signature of the same component may be there.
    signature::check(&pipeline.handler.keys, &found.digest, signature.as_deref())
        .map_err(|why| refused(&why))?;
    catalog.keep(&found.digest, &bytes, signature.as_deref()).map_err(|error| {
        Fail::refused(format!("{shown} cannot be kept in data_dir: {error}; make room, then deploy again"))
    })?;
    let origin = fetch::origin(&component);
    let request = DeployRequest {
        pipeline: pipeline.name.clone(),
        digest: found.digest,
        origin: origin.clone(),
        pin: pin.as_ref().map(pinned),
        canary: share,
        shadow: args.shadow,
        now: args.now,
        wait: args.wait,
    };
    let mut trial = trial::Shown::new(&pipeline.name);
    let progress = |progress| match progress {
        Progress::Trial(now) => trial.show(now),
        Progress::Accepted | Progress::Replay { .. } | Progress::Log(_) | Progress::LogDropped { .. } => {}
    };
    match ask(&config.data_dir, Request::Deploy(request), progress)? {
        Some(Reply::Deploy(done)) => report(&pipeline.name, done),
        Some(other) => Err(unexpected(&other)),
        None if args.canary.is_some() || args.shadow => Err(Fail::refused(
            "no worker runs, so there is nothing to try it out on; start one, or leave out --canary and \
             --shadow: the next start takes it for all messages",
        )),
        None => {
            for_the_next_start((file, &config), pipeline, &bytes, (&origin, pin), false)?;
            say!("no worker runs: the next start of {} takes this version", pipeline.name);
            Ok(())
        }
    }
}

/// Copies may be made of all messages; a version that takes them has at most half.
fn share(args: &DeployArgs) -> Result<Option<f64>, Fail> {
    match args.canary {
        Some(share) if !args.shadow && !SHARE.contains(&share) => Err(Fail::usage(format!(
            "--canary {share} is more than 0.5: the old version has at least as many messages as the new \
             one. With --shadow it may be up to 1.0"
        ))),
        share => Ok(share),
    }
}

fn show(pipeline: &PipelineConfig, old: Option<&Kept>, new: &Description) {
    let name = &pipeline.name;
    let kb = |bytes: u64| format!("{} KB", bytes.div_ceil(1000));
    let size = new.size as u64;
    match old {
        Some(old) if old.digest == new.digest => say!("{name}: {} ({})", new.digest, kb(size)),
        Some(old) => {
            say!("{name}: {} ({})", old.digest, kb(old.size));
            say!("  becomes {} ({})", new.digest, kb(size));
            let wants = want_changes(&old.imports, &new.imports);
            let imports = import_changes(&old.imports, &new.imports);
            imports.iter().chain(&wants).for_each(|change| say!("  {change}"));
        }
        None => say!("{name}: the first version is {} ({})", new.digest, kb(size)),
    }
    // Whoever loads it says what to add.
    let missing = missing(&new.imports, name, &grants::outline(&pipeline.grants));
    let missing = missing.iter().map(|want| want.interface);
    let not_granted: Vec<&str> = new.refused.iter().map(String::as_str).chain(missing).collect();
    if not_granted.is_empty() {
        say!("  all it imports is granted");
    } else {
        say!("  not granted: {}", not_granted.join(", "));
    }
}

fn pinned(pin: &Pin) -> PinnedReference {
    PinnedReference {
        reference: pin.reference.clone(),
        manifest: pin.manifest.clone(),
        component: pin.component.clone(),
    }
}

fn report(pipeline: &str, done: Deployment) -> Outcome {
    match done {
        Deployment::Unchanged => say!("{pipeline} has this version already"),
        Deployment::Deployed => say!("{pipeline} runs this version now"),
        Deployment::Promoted => say!("promoted: {pipeline} gives this version all messages"),
        Deployment::Trying { .. } => {
            say!("{pipeline} tries this version out; `pelton versions {pipeline}` shows how it goes");
        }
        Deployment::SentBack { why } => {
            return Err(Fail::refused(format!("the version was sent back: {why}. The old one goes on")));
        }
    }
    Ok(())
}

/// Goes back to an earlier version.
pub fn rollback(file: &Path, pipeline: &str, to: Option<&str>) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, pipeline)?;
    let name = &pipeline.name;
    let request = Request::Rollback { pipeline: name.clone(), to: to.map(str::to_owned) };
    match ask(&config.data_dir, request, |_| {})? {
        Some(Reply::Rollback { what, digest }) => {
            match what {
                Rollback::TrialEnded => say!("the trial has ended: {name} goes on with {digest}"),
                Rollback::Unchanged => say!("{name} runs {digest} already"),
                Rollback::RolledBack => say!("{name} runs {digest} again"),
            }
            return Ok(());
        }
        Some(other) => return Err(unexpected(&other)),
        None => {}
    }
    let catalog = Catalog::open(&config.data_dir, name);
    let target = catalog.state().rollback_target(to).map_err(Fail::refused)?;
    let bytes = catalog
        .read(&target, config.max_component_bytes)
        .map_err(|error| Fail::refused(format!("{target} in data_dir {error}; deploy its file")))?;
    if pelton_host::digest(&bytes) != target {
        return Err(Fail::refused(format!("{target} is damaged in data_dir; deploy its file")));
    }
    for_the_next_start((file, &config), pipeline, &bytes, (&target, None), true)?;
    say!("no worker runs: the next start of {name} takes {target}");
    Ok(())
}

/// Notes a version as the one in use, once it has been loaded as a worker would; `origin` is its file or
/// its digest. Owns the data directory meanwhile, so that no worker starts with half of it.
fn for_the_next_start(
    (file, config): (&Path, &Config),
    pipeline: &PipelineConfig,
    bytes: &[u8],
    (origin, pin): (&str, Option<Pin>),
    back: bool,
) -> Outcome {
    let catalog = Catalog::open(&config.data_dir, &pipeline.name);
    let digest = pelton_host::digest(bytes);
    signature::check(&pipeline.handler.keys, &digest, catalog.signature(&digest).as_deref())
        .map_err(|why| Fail::refused(format!("{origin} {why}")))?;
    let store = Store::open_owner(&config.data_dir, options(config)).map_err(store_fail)?;
    let mut granted = config.clone();
    granted.pipelines.retain(|other| other.name == pipeline.name);
    let runtime = tokio::runtime::Runtime::new()?;
    let homes = Homes::new(store.data_dir_id());
    {
        let _within = runtime.enter();
        assemble::grant(file, &mut granted, &store, &homes)?;
    }
    let host = sandbox::host(config, sandbox::cache_dir(config))?;
    let handler = host
        .load_bytes(&pipeline.name, bytes, &find(&granted, &pipeline.name)?.handler.spec)
        .map_err(|error| Fail::not_loaded(origin, &error))?;
    let version = rollout::kept(&handler, origin);
    let component = &pipeline.handler.component;
    let pin = pin.filter(|pin| pin.reference == component.to_string());
    catalog.change(|state| {
        if state.promoted().is_none_or(|promoted| promoted.digest != digest) {
            if back {
                state.leave();
            }
            state.promote(version);
        }
        state.pin = pin.or(state.pin.take());
        state.configured =
            fetch::look(component, state, config.max_component_bytes).or(state.configured.take());
    })?;
    runtime.block_on(homes.close());
    store.close();
    Ok(())
}
