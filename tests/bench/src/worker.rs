//! The real worker with its own folder: configured, fed and started as a user would.

use crate::args::Setup;
use anyhow::{Context, Result, ensure};
use pelton_core::broker::Outgoing;
use pelton_store::{Options, Store};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A configuration with so many pipelines of one component, in a folder of its own.
pub struct Worker {
    pelton: PathBuf,
    dir: TempDir,
}

impl Worker {
    pub fn new(setup: &Setup, pipelines: usize) -> Result<Self> {
        Self::with(setup, pipelines, "")
    }

    /// With more in its configuration.
    pub fn with(setup: &Setup, pipelines: usize, more: &str) -> Result<Self> {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        let mut config = format!("data_dir = {:?}\n", dir.path().join("data"));
        for number in 0..pipelines {
            write!(
                config,
                "[pipelines.{}]\nsource = {{ type = \"embedded\" }}\n[pipelines.{0}.handler]\ncomponent = \
                 {:?}\n",
                name(number),
                setup.orders
            )?;
        }
        config.push_str(more);
        std::fs::write(dir.path().join("pelton.toml"), config)?;
        Ok(Self { pelton: setup.pelton.clone(), dir })
    }

    /// Puts one message into a pipeline's queue.
    pub fn send(&self, pipeline: usize, body: &str) -> Result<()> {
        let sent = self.command("send", &[&name(pipeline), "--body", body]).output()?;
        ensure!(sent.status.success(), "send: {}", String::from_utf8_lossy(&sent.stderr));
        Ok(())
    }

    /// Puts a message into each of these pipelines' queues. A process for each would take minutes.
    pub fn send_to(&self, pipelines: std::ops::Range<usize>, body: &str) -> Result<()> {
        let store = Store::open_beside(&self.dir.path().join("data"), Options::default())?;
        for pipeline in pipelines {
            let message = Outgoing::of(body.as_bytes());
            for sent in store.send(&name(pipeline), &[message])? {
                sent?;
            }
        }
        Ok(())
    }

    /// Starts `run`, with its output in pipes.
    pub fn run(&self, more: &[&str]) -> Result<Child> {
        let mut command = self.command("run", more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("{} cannot be started", self.pelton.display()))
    }

    /// Starts `run` with its log in a file.
    pub fn run_quietly(&self) -> Result<Child> {
        let log = std::fs::File::create(self.log())?;
        let mut command = self.command("run", &[]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().with_context(|| format!("{} cannot be started", self.pelton.display()))
    }

    /// Where the log of `run_quietly` is.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What `status --json` says.
    pub fn status(&self) -> Result<serde_json::Value> {
        let said = self.command("status", &["--json"]).output()?;
        ensure!(said.status.success(), "status: {}", String::from_utf8_lossy(&said.stderr));
        Ok(serde_json::from_slice(&said.stdout)?)
    }

    fn command(&self, word: &str, more: &[&str]) -> Command {
        let mut command = Command::new(&self.pelton);
        command.arg(word).args(more).arg("--config").arg(self.dir.path().join("pelton.toml"));
        // Whatever the worker keeps outside its data directory is this folder's too.
        command.env("XDG_CACHE_HOME", self.dir.path().join("cache"));
        command
    }
}

pub fn name(number: usize) -> String {
    format!("p{number}")
}
