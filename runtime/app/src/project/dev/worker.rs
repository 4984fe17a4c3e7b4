//! The worker beside the loop: `pelton run`, with its log as JSON to be shown.

use super::Event;
use super::queue::Place;
use crate::exit::Fail;
use crate::program;
use crate::telemetry::outcomes;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::SyncSender;

/// A worker that runs.
pub struct Worker {
    pid: u32,
}

impl Worker {
    /// Starts it. Its lines, and its end, are events.
    pub fn start(place: &Place, events: SyncSender<Event>) -> Result<Self, Fail> {
        let mut child = Command::new(program::own()?)
            .args(["run", "--log-format", "json", "--config"])
            .arg(&place.config)
            .env("PELTON_LOG", format!("info,guest=trace,{}=debug", outcomes::TARGET))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = child.id();
        let log = child.stderr.take().ok_or_else(|| anyhow::anyhow!("the worker has no standard error"))?;
        std::thread::spawn(move || {
            for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
                drop(events.send(Event::Log(String::from_utf8_lossy(&line).into_owned())));
            }
            drop(child.wait());
            drop(events.send(Event::Ended));
        });
        Ok(Self { pid })
    }

    /// Tells it to finish what it has and end.
    pub fn end(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // It may have ended already, by the same signal from the terminal.
        let _ended_already = pid.map(|pid| kill_process(pid, Signal::TERM).is_err());
    }
}
