//! `pelton pause`, `pelton resume` and `pelton rate`.

use super::fleet::FleetLedger;
use super::{find, load, open_beside, store_fail};
use crate::cli::{PauseArgs, RateArgs, ResumeArgs, WantedRate};
use crate::config::{Config, PipelineConfig};
use crate::control::client::{ask, unexpected};
use crate::control::protocol::{Reply, Request};
use crate::control::steering::{
    Order, PauseRequest, PauseStatus, RateFor, RateRequest, ResumeRequest, Scope, Steered, SteeringStatus,
};
use crate::exit::{Fail, Outcome};
use crate::telemetry::time::{now_ms, rfc3339};
use crate::worker::steer::kept::Kept;
use pelton_core::number::millis;
use pelton_core::shown::shown;
use pelton_store::Store;
use std::path::Path;

/// Bytes of words of others that are shown.
const SHOWN_BYTES: usize = 1_024;

/// Holds a pipeline, or a partition of it.
pub fn pause(file: &Path, args: &PauseArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?;
    let wanted = PauseRequest {
        pipeline: pipeline.name.clone(),
        partition: args.partition.clone(),
        reason: args.reason.clone(),
        for_ms: args.for_time.map(millis),
        here: args.here,
        by: who(),
    };
    wanted.checked().map_err(Fail::usage)?;
    if let Some(partition) = &args.partition {
        pipeline.source.broker().has_partition(partition).map_err(Fail::usage)?;
    }
    let edit = |now: &SteeringStatus, order: Order<'_>| now.pause(&wanted, order);
    let done = steer(&config, pipeline, Request::Pause(wanted.clone()), (&wanted.by, args.here), edit)?;
    let pause = match &args.partition {
        Some(partition) => done.now.partitions.get(partition),
        None => done.now.paused.as_ref(),
    };
    let name = part(pipeline, args.partition.as_deref());
    let until = pause.and_then(|pause| pause.until_ms);
    let until = until.map_or_else(String::new, |ms| format!(" until {}", rfc3339(ms)));
    say!("{name} is paused{until}, {}", whom(pipeline, &done));
    say!("What runs is finished, and nothing is started; `pelton resume {}` has it go on", pipeline.name);
    Ok(())
}

/// Has it go on.
pub fn resume(file: &Path, args: &ResumeArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?;
    let partition = args.partition.clone();
    let wanted = ResumeRequest { pipeline: pipeline.name.clone(), partition, here: args.here, by: who() };
    let edit = |now: &SteeringStatus, _: Order<'_>| now.resume(&wanted);
    let done = steer(&config, pipeline, Request::Resume(wanted.clone()), (&wanted.by, args.here), edit)?;
    let name = part(pipeline, args.partition.as_deref());
    match (&done.now.paused, done.unchanged) {
        (Some(pause), _) => say!("{name} is still paused: {}", told(pause)),
        (None, true) => say!("{name} is not paused: nothing has changed"),
        (None, false) => say!("{name} goes on, {}", whom(pipeline, &done)),
    }
    Ok(())
}

/// Sets the rate for a while.
pub fn rate(file: &Path, args: &RateArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, &args.pipeline)?;
    let rate = match (args.rate, args.for_time) {
        (WantedRate::Configured, _) => None,
        (WantedRate::PerSecond(per_second), Some(time)) => {
            Some(RateFor { per_second, for_ms: millis(time) })
        }
        (WantedRate::PerSecond(_), None) => {
            return Err(Fail::usage(
                "say for how long, such as --for 10m: a rate that is to stay belongs into the configuration \
                 (`flow.rate`)",
            ));
        }
    };
    let wanted = RateRequest { pipeline: pipeline.name.clone(), rate, here: args.here, by: who() };
    wanted.checked().map_err(Fail::usage)?;
    let edit = |now: &SteeringStatus, order: Order<'_>| now.rate(wanted.rate, order);
    let done = steer(&config, pipeline, Request::Rate(wanted.clone()), (&wanted.by, args.here), edit)?;
    let (name, whom) = (&pipeline.name, whom(pipeline, &done));
    match &done.now.rate {
        Some(rate) => say!(
            "{name} starts at most {} messages a second on each worker until {}, {whom}",
            rate.per_second,
            rfc3339(rate.until_ms)
        ),
        None => say!("{name} has its configured rate, {whom}"),
    }
    Ok(())
}

/// How a pause is told: since when, by whom, why, until when.
pub fn told(pause: &PauseStatus) -> String {
    let PauseStatus { by, reason, since_ms, until_ms, scope } = pause;
    let short = |text: &str| shown(text).at_most(SHOWN_BYTES).to_string();
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(", \"{}\"", short(reason)));
    let until =
        until_ms.map_or_else(|| "until it is resumed".to_owned(), |ms| format!("until {}", rfc3339(ms)));
    let whom = match scope {
        Scope::Fleet => ", for the whole fleet",
        Scope::Worker => "",
    };
    format!("since {} by {}{reason}, {until}{whom}", rfc3339(*since_ms), short(by))
}

fn part(pipeline: &PipelineConfig, partition: Option<&str>) -> String {
    match partition {
        Some(partition) => format!("{} of {}", shown(partition).at_most(SHOWN_BYTES), pipeline.name),
        None => pipeline.name.clone(),
    }
}

/// The workers that it holds for.
fn whom(pipeline: &PipelineConfig, done: &Steered) -> String {
    match (done.scope, &pipeline.ledger.home) {
        (Scope::Fleet, Some(home)) => {
            format!("for every worker that has its ledger in {}", home.database.describe())
        }
        _ if pipeline.source.broker().identity().is_some() => {
            "for the worker of this data directory; others that read the same are told by themselves"
                .to_owned()
        }
        _ => "for the worker of this data directory".to_owned(),
    }
}

/// Who asks: for people who look at the status.
pub fn who() -> String {
    let said = |name| std::env::var(name).ok().filter(|user| !user.trim().is_empty());
    let user = said("SUDO_USER").or_else(|| said("USER")).or_else(|| said("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    format!("{}@{}", clean(&user), clean(host.trim()))
}

/// Has the worker do it, or does it for the next one that begins.
fn steer(
    config: &Config,
    pipeline: &PipelineConfig,
    request: Request,
    (by, here): (&str, bool),
    edit: impl Fn(&SteeringStatus, Order<'_>) -> SteeringStatus,
) -> Result<Steered, Fail> {
    loop {
        match ask(&config.data_dir, request.clone(), |_| {})? {
            Some(Reply::Steer(done)) => return Ok(done),
            Some(other) => return Err(unexpected(&other)),
            None => {}
        }
        let done = alone(config, pipeline, (by, here), &edit)?;
        // A worker that has begun meanwhile may have read what was kept before.
        if Store::owner_of(&config.data_dir).is_none() {
            note!("note: no worker runs on this data directory; the next one begins like that");
            return Ok(done);
        }
    }
}

/// Without a worker: in the database of its fleet, or in the data directory.
fn alone(
    config: &Config,
    pipeline: &PipelineConfig,
    (by, here): (&str, bool),
    edit: impl Fn(&SteeringStatus, Order<'_>) -> SteeringStatus,
) -> Result<Steered, Fail> {
    let now_ms = now_ms();
    if let Some(mut ledger) = FleetLedger::open(config, pipeline)?.filter(|_| !here) {
        let order = Order { by, now_ms, scope: Scope::Fleet };
        let (before, now) = ledger.steer(|known| edit(&known.at(now_ms), order))?;
        return Ok(Steered { unchanged: before.at(now_ms) == now, now, scope: Scope::Fleet });
    }
    let store = open_beside(config)?;
    let kept = Kept::read(&store, &pipeline.name).map_err(store_fail)?;
    let before = kept.at(now_ms);
    let own = edit(&kept.own.at(now_ms), Order { by, now_ms, scope: Scope::Worker });
    let kept = Kept { own, ..kept };
    kept.write(&store, &pipeline.name).map_err(store_fail)?;
    let now = kept.at(now_ms);
    Ok(Steered { unchanged: before == now, now, scope: Scope::Worker })
}
