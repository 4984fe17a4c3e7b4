//! A folder with a configuration and a data directory, and the commands in it.

use crate::binary::pelton;
use crate::wait::DEADLINE;
use crate::worker::{Ended, Worker};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// One pipeline's section of the configuration.
#[derive(Debug, Clone)]
pub struct Pipeline {
    name: String,
    component: PathBuf,
    sections: Vec<(&'static str, String)>,
}

impl Pipeline {
    /// A pipeline with a handler, all else as it is when nothing is said.
    #[must_use]
    pub fn new(name: &str, component: PathBuf) -> Self {
        Self { name: name.to_owned(), component, sections: Vec::new() }
    }

    /// Lines of one of its sections: `handler`, `retry`, `dedup`, `dead_letter`, or the pipeline's own
    /// (an empty name). Once for each.
    #[must_use]
    pub fn with(mut self, section: &'static str, lines: &str) -> Self {
        self.sections.push((section, lines.to_owned()));
        self
    }

    /// The same with other lines in a section that it has.
    #[must_use]
    pub fn replaced(mut self, section: &'static str, lines: &str) -> Self {
        self.sections.retain(|(name, _)| *name != section);
        self.with(section, lines)
    }

    fn lines(&self, section: &str) -> &str {
        self.sections.iter().find(|(name, _)| *name == section).map_or("", |(_, lines)| lines)
    }

    fn write(&self, config: &mut String) {
        let (name, component) = (&self.name, &self.component);
        let (own, handler) = (self.lines(""), self.lines("handler"));
        let head =
            format!("\n[pipelines.{name}]\n{own}\n[pipelines.{name}.handler]\ncomponent = {component:?}\n");
        config.push_str(&head);
        writeln!(config, "{handler}").expect("a string takes all");
        for (section, lines) in &self.sections {
            if !section.is_empty() && *section != "handler" {
                writeln!(config, "[pipelines.{name}.{section}]\n{lines}").expect("a string takes all");
            }
        }
    }
}

/// A folder of its own for one test.
pub struct Site {
    dir: TempDir,
}

impl Site {
    /// With these pipelines.
    #[must_use]
    pub fn new(pipelines: &[Pipeline]) -> Self {
        Self::with("", pipelines)
    }

    /// With these pipelines, and lines at the head of the configuration.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn with(head: &str, pipelines: &[Pipeline]) -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let mut config = format!("data_dir = \"data\"\n{head}\n");
        pipelines.iter().for_each(|p| p.write(&mut config));
        std::fs::write(dir.path().join("pelton.toml"), config).expect("the configuration is written");
        let site = Self { dir };
        copy_tree(&compiled(), &site.data().join("compiled"));
        site
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A command in this folder, not started yet.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(pelton());
        command.args(words).current_dir(self.path()).env_remove("PELTON_CONFIG").env_remove("PELTON_LOG");
        // What is compiled is its own affair: some look at it, or damage it.
        command.env("PELTON_CACHE", "off");
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("pelton can be started")
    }

    /// Runs a command that must succeed; what it printed.
    ///
    /// # Panics
    /// When it does not.
    pub fn done(&self, words: &[&str]) -> String {
        said(words, &self.run(words))
    }

    /// Sends one message for each line.
    ///
    /// # Panics
    /// When it cannot.
    pub fn send_lines(&self, pipeline: &str, more: &[&str], lines: &[String]) {
        let words = [&["send", pipeline, "--lines", "-"], more].concat();
        let mut command = self.command(&words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("pelton can be started");
        let mut input = child.stdin.take().expect("it is piped");
        // A refusal may end it early; what it says then is looked at below.
        drop(input.write_all((lines.join("\n") + "\n").as_bytes()));
        drop(input);
        said(&words, &child.wait_with_output().expect("it is our child"));
    }

    /// What `status --json` says of a pipeline.
    ///
    /// # Panics
    /// When it says nothing.
    #[must_use]
    pub fn status(&self, pipeline: &str) -> Status {
        Status::of(&self.done(&["status", "--json"]), pipeline)
    }

    /// What `dlq list --json` says, letter by letter.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[must_use]
    pub fn letters(&self, pipeline: &str) -> Vec<Value> {
        let listed = self.done(&["dlq", "list", pipeline, "--json"]);
        listed.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// Starts a worker, with its log as JSON.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.worker_with(&[], &[])
    }

    /// Starts a worker with more words and variables.
    #[must_use]
    pub fn worker_with(&self, words: &[&str], env: &[(&str, &str)]) -> Worker {
        let mut command = self.command(&[&["run", "--log-format", "json"], words].concat());
        Worker::start(command.envs(env.iter().copied()))
    }

    /// Runs a worker until nothing is left.
    ///
    /// # Panics
    /// When it does not end with 0.
    pub fn until_empty(&self) -> (Worker, Ended) {
        self.until_empty_within(DEADLINE)
    }

    /// The same, where there is more than usual to do.
    ///
    /// # Panics
    /// When it does not end with 0, or not in time.
    pub fn until_empty_within(&self, limit: Duration) -> (Worker, Ended) {
        let worker = self.worker_with(&["--until-empty"], &[]);
        let ended =
            worker.ends_within(limit).unwrap_or_else(|| panic!("it does not end:{}", worker.log.tail()));
        assert_eq!(ended.code, Some(0), "{ended:?}{}", worker.log.tail());
        copy_tree(&self.data().join("compiled"), &compiled());
        (worker, ended)
    }
}

impl Drop for Site {
    /// After a failure the folder stays, to be looked into.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("kept for a look: {}", self.path().display());
        }
    }
}

fn said(words: &[&str], output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "pelton {words:?} ended with {}:\n{out}{err}", output.status);
    out.into_owned()
}

/// The counts of one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the words of the status command")]
pub struct Status {
    pub queued: u64,
    pub delayed: u64,
    pub in_flight: u64,
    pub handled: u64,
    pub duplicates: u64,
    pub retries: u64,
    pub dead_letters: u64,
}

impl Status {
    /// Out of the JSON of `status --json` or `run --until-empty`.
    ///
    /// # Panics
    /// When a count is missing.
    #[must_use]
    pub fn of(json: &str, pipeline: &str) -> Self {
        let all: Value = serde_json::from_str(json).expect("the status is JSON");
        let of = |name: &str| {
            let count = all["pipelines"][pipeline][name].as_u64();
            count.unwrap_or_else(|| panic!("the status of {pipeline} has no {name}: {json}"))
        };
        Self {
            queued: of("queued"),
            delayed: of("delayed"),
            in_flight: of("in_flight"),
            handled: of("handled"),
            duplicates: of("duplicates"),
            retries: of("retries"),
            dead_letters: of("dead_letters"),
        }
    }

    /// What is in the queue, in whatever state.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.queued + self.delayed + self.in_flight
    }
}

/// Code that was compiled by an earlier test: a worker takes seconds for that, and its own folder
/// for compiled code is not what these suites are about.
fn compiled() -> PathBuf {
    pelton().with_file_name("compiled-handlers")
}

/// Copies what is not there yet. Names tell contents here, so what is there is the same.
fn copy_tree(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in entries.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            // What is being made is nobody else's.
            if !from.ends_with("making") {
                copy_tree(&from, &to);
            }
        } else if !to.exists() && is_whole(&from) {
            static COPIES: AtomicU64 = AtomicU64::new(0);
            let number = COPIES.fetch_add(1, Ordering::Relaxed);
            let new = to.with_extension(format!("wip-{}-{number}", std::process::id()));
            // Another test may tidy or write the same file: then there is nothing to do.
            if std::fs::copy(&from, &new).is_ok() {
                drop(std::fs::rename(&new, &to));
            }
        }
    }
}

/// Not a count of its uses, and not one that is being written.
fn is_whole(file: &Path) -> bool {
    let name = file.to_string_lossy();
    !name.ends_with(".stats") && !name.contains("wip-")
}
