//! `pelton logs`: what the worker has logged, and what it logs from now on.

use super::{find, load};
use crate::cli::LogsArgs;
use crate::control::client::{ask, unexpected};
use crate::control::protocol::{Progress, Reply, Request};
use crate::control::steering::{LogLine, LogsRequest};
use crate::exit::{Fail, Outcome};
use crate::output;
use crate::telemetry::time::rfc3339;
use std::path::Path;

/// Shows them.
pub fn logs(file: &Path, args: &LogsArgs) -> Outcome {
    let config = load(file)?;
    let pipeline = args.pipeline.as_deref().map(|name| find(&config, name)).transpose()?;
    let pipeline = pipeline.map(|pipeline| pipeline.name.clone());
    let wanted = LogsRequest { pipeline, lines: args.lines, follow: args.follow };
    let show = |progress| match progress {
        Progress::Log(line) => show(&line, args.json),
        Progress::LogDropped { lines } => {
            note!(
                "note: {lines} lines of the log are missing here, since they came faster than they were read"
            );
        }
        Progress::Accepted | Progress::Trial(_) | Progress::Replay { .. } => {}
    };
    match ask(&config.data_dir, Request::Logs(wanted), show)? {
        Some(Reply::Logs { .. }) => Ok(()),
        Some(other) => Err(unexpected(&other)),
        None => Err(Fail::refused(
            "no worker runs on this data directory: its log is where its standard error went",
        )),
    }
}

/// As the worker writes it.
fn show(line: &LogLine, as_json: bool) {
    if as_json {
        return output::json(&serde_json::json!(line));
    }
    let LogLine { at_ms, level, target, pipeline, message, fields, .. } = line;
    let named = pipeline.iter().map(|name| format!(" pipeline={name}"));
    let fields = fields.iter().map(|(name, value)| format!(" {name}={value}"));
    let more: String = named.chain(fields).collect();
    say!("{} {level:>5} {target}: {message}{more}", rfc3339(*at_ms));
}
