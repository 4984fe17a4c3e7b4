//! `pelton versions`.

use super::{find, load, table, trial};
use crate::control::client::{ask, unexpected};
use crate::control::protocol::{Reply, Request, Version, Versions};
use crate::deploy::catalog::Catalog;
use crate::deploy::rollout::percent;
use crate::deploy::short;
use crate::exit::Outcome;
use crate::grants;
use crate::output;
use crate::telemetry::time;
use crate::worker::answer::versions::kept;
use pelton_host::{Grants, missing};
use std::path::Path;

/// Shows the versions of a pipeline's handler.
pub fn versions(file: &Path, pipeline: &str, as_json: bool) -> Outcome {
    let config = load(file)?;
    let pipeline = find(&config, pipeline)?;
    let (granted, pipeline) = (grants::outline(&pipeline.grants), pipeline.name.clone());
    let (all, runs) = match ask(&config.data_dir, Request::Versions { pipeline: pipeline.clone() }, |_| {})?
    {
        Some(Reply::Versions(all)) => (all, true),
        Some(other) => return Err(unexpected(&other)),
        None => {
            let versions = kept(&Catalog::open(&config.data_dir, &pipeline).state());
            (Versions { pipeline, versions }, false)
        }
    };
    if as_json {
        output::json(&serde_json::to_value(&all)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all.versions.iter().map(row).collect();
    table::print(&["version", "state", "share", "handled", "failed", "p50", "p99", "since", "from"], &rows);
    for difference in all.versions.iter().filter_map(|version| version.shadow.as_ref()?.as_ref()) {
        say!("");
        say!("in the shadow: {}", trial::difference_in_words(difference));
    }
    for (version, wants) in
        all.versions.iter().filter_map(|version| ungranted(version, &granted, &all.pipeline))
    {
        say!("");
        say!(
            "{} wants {wants}, which the configuration does not grant: it could not be loaded",
            short(version)
        );
    }
    say!("");
    say!("{}", if runs { "counted since the worker started" } else { "no worker runs" });
    Ok(())
}

/// What a kept version wants, and is not granted.
fn ungranted<'v>(version: &'v Version, granted: &Grants, pipeline: &str) -> Option<(&'v str, String)> {
    let missing = missing(&version.kept.as_ref()?.imports, pipeline, granted);
    let names: Vec<&str> = missing.iter().map(|want| want.interface).collect();
    (!names.is_empty()).then(|| (version.digest.as_str(), names.join(", ")))
}

fn row(version: &Version) -> Vec<String> {
    let (kept, running) = (version.kept.as_ref(), version.running.as_ref());
    let failed = running.iter().flat_map(|running| &running.failed).filter(|(_, count)| **count > 0);
    let failed: Vec<String> = failed.map(|(kind, count)| format!("{count} {kind}")).collect();
    let left = kept.is_some_and(|kept| kept.left) && version.state == "kept";
    vec![
        short(&version.digest),
        if left { "left".to_owned() } else { version.state.clone() },
        percent(version.share),
        running.map(|running| table::number(running.handled)).unwrap_or_default(),
        failed.join(", "),
        running.map(|running| format!("{} us", running.p50_us)).unwrap_or_default(),
        running.map(|running| format!("{} us", running.p99_us)).unwrap_or_default(),
        kept.map(|kept| time::rfc3339(kept.since_ms)).unwrap_or_default(),
        kept.map(|kept| kept.origin.clone()).unwrap_or_default(),
    ]
}
