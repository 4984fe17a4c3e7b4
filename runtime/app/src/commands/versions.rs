//! `pelton versions`.

use super::{find, load, table};
use crate::control::client;
use crate::deploy::catalog::Catalog;
use crate::deploy::rollout::percent;
use crate::deploy::short;
use crate::exit::Outcome;
use crate::output;
use crate::telemetry::time;
use crate::worker::answer::versions as serve;
use serde_json::{Value, json};
use std::path::Path;

/// Shows the versions of a pipeline's handler.
pub fn versions(file: &Path, pipeline: &str, as_json: bool) -> Outcome {
    let config = load(file)?;
    let name = &find(&config, pipeline)?.name;
    let live = client::ask(&config.data_dir, "versions", &json!({ "pipeline": name }), |_| {})?;
    let runs = live.is_some();
    let all = live.unwrap_or_else(|| {
        let state = Catalog::open(&config.data_dir, name).state();
        json!({ "pipeline": name, "versions": serve::kept(&state) })
    });
    if as_json {
        output::json(&all);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all["versions"].as_array().into_iter().flatten().map(row).collect();
    table::print(&["version", "state", "share", "handled", "failed", "p50", "p99", "since", "from"], &rows);
    let shadows =
        all["versions"].as_array().into_iter().flatten().filter(|version| version["shadow"].is_object());
    shadows.for_each(|version| {
        say!("");
        say!("in the shadow: {}", serve::difference_in_words(&version["shadow"]));
    });
    say!("");
    say!("{}", if runs { "counted since the worker started" } else { "no worker runs" });
    Ok(())
}

fn row(version: &Value) -> Vec<String> {
    let text = |name: &str| version[name].as_str().unwrap_or_default().to_owned();
    let count = |name: &str| version[name].as_u64().map(table::number).unwrap_or_default();
    let micros = |name: &str| version[name].as_u64().map(|us| format!("{us} us")).unwrap_or_default();
    let failed = version["failed"].as_object().into_iter().flatten();
    let failed: Vec<String> = failed
        .filter_map(|(kind, n)| n.as_u64().filter(|n| *n > 0).map(|n| format!("{n} {kind}")))
        .collect();
    let left = version["left"] == true && version["state"] == "kept";
    vec![
        short(&text("digest")),
        if left { "left".to_owned() } else { text("state") },
        version["share"].as_f64().map(percent).unwrap_or_default(),
        count("handled"),
        failed.join(", "),
        micros("p50_us"),
        micros("p99_us"),
        version["since_ms"].as_u64().map(time::rfc3339).unwrap_or_default(),
        text("origin"),
    ]
}
