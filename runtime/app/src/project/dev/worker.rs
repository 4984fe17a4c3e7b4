//! The worker beside the loop: `pelton run`, with its log as JSON to be shown.

use super::Event;
use super::queue::DevQueue;
use crate::exit::Fail;
use crate::program;
use crate::signals;
use crate::telemetry::outcomes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::SyncSender;

/// A worker that runs.
pub struct Worker {
    pid: u32,
}

impl Worker {
    /// Starts it. Its lines, its beginning and its end are events. It ends with the thread that starts it.
    pub fn start(place: &DevQueue, events: SyncSender<Event>) -> Result<Self, Fail> {
        let mut child = Command::new(program::own()?)
            .args(["run", "--log-format", "json", "--config"])
            .arg(&place.config)
            .env("PELTON_LOG", format!("info,guest=trace,{}=debug", outcomes::TARGET))
            .env(signals::ENDS_WITH, std::process::id().to_string())
            // A terminal sends Ctrl-C to all of its group: this one is told by its parent, once.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = child.id();
        let log = child.stderr.take().ok_or_else(|| anyhow::anyhow!("the worker has no standard error"))?;
        std::thread::spawn(move || {
            for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let started = is_start(&line);
                drop(events.send(Event::Log(line)));
                if started {
                    drop(events.send(Event::Started));
                }
            }
            drop(child.wait());
            drop(events.send(Event::Ended));
        });
        Ok(Self { pid })
    }

    /// Tells it to finish what it has and end.
    pub fn end(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // It may have ended already.
        let _ended_already = pid.map(|pid| kill_process(pid, Signal::TERM).is_err());
    }
}

/// Whether a line of the log says that the pipeline has begun.
fn is_start(line: &str) -> bool {
    line.contains("\"started\"")
        && serde_json::from_str::<Value>(line)
            .is_ok_and(|event| event["message"] == "started" && event["target"] != "guest")
}

/// Has the worker take the component's file as it is now; what comes of it is an event.
pub fn take(place: &DevQueue, events: SyncSender<Event>) -> Result<(), Fail> {
    let mut command = Command::new(program::own()?);
    command.arg("reload").arg("--config").arg(&place.config).stdin(Stdio::null());
    std::thread::spawn(move || {
        let taken = match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(said.trim().trim_start_matches("error: ").to_owned())
            }
            Err(error) => Err(format!("the worker cannot be told to take it: {error}")),
        };
        // The loop has ended when nobody hears it.
        drop(events.send(Event::Taken(taken)));
    });
    Ok(())
}
