//! Commands of a project: by the shell, in its folder, with the tools it has installed for itself.

use super::manifest::USES;
use super::{Project, rust};
use crate::exit::Fail;
use crate::output;
use anyhow::Context;
use std::ffi::OsString;
use std::io::{PipeReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What is waited for the rest of what a command has printed.
const RELAY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a project's package manager puts programs.
const PROGRAMS: [&str; 2] = [".venv/bin", "node_modules/.bin"];

/// A command that is ready to be started.
pub fn command(project: &Project, line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(&project.dir).env(USES, project.manifest.uses());
    let mut first: Vec<OsString> = PROGRAMS.iter().map(|folder| project.dir.join(folder).into()).collect();
    if project.manifest.language == "rust" {
        for (name, value) in rust::environment() {
            command.env(name, value);
        }
        first.extend(rust::programs().map(OsString::from));
    }
    command.env("PATH", path(first));
    // As an activated environment: its packages are found too.
    let venv = project.dir.join(".venv");
    if venv.is_dir() {
        command.env("VIRTUAL_ENV", venv);
    }
    command
}

fn path(first: Vec<OsString>) -> OsString {
    let mut path = first.join(&OsString::from(":"));
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

/// Runs a command of the project to its end. Its standard output goes to standard error, since ours is for
/// answers; on a terminal as it is, for what it draws there, and else by us: a compiler that cannot print
/// fails, and nobody who does not read shall make a build fail.
pub fn run(project: &Project, line: &str) -> Result<ExitStatus, Fail> {
    let mut command = command(project, line);
    command.stdin(Stdio::null());
    let unstarted = || format!("`{line}` cannot be started");
    if output::is_terminal_error() {
        #[allow(clippy::disallowed_methods, reason = "it is the child that writes")]
        command.stdout(std::io::stderr());
        return Ok(command.status().with_context(unstarted)?);
    }
    let (printed, write) = std::io::pipe()?;
    command.stdout(write.try_clone()?).stderr(write);
    let mut child = command.spawn().with_context(unstarted)?;
    // Our own writing ends, without which the reading one ends with the command.
    drop(command);
    let relayed = relay(printed);
    let status = child.wait()?;
    // Unless it has left something running, that holds the pipe.
    relayed.recv_timeout(RELAY_TIMEOUT).unwrap_or_default();
    Ok(status)
}

/// Hands on what is printed, until nobody can print any more.
fn relay(mut printed: PipeReader) -> Receiver<()> {
    let (end, ended) = channel();
    std::thread::spawn(move || {
        let mut some = [0; 8192];
        while let Ok(count @ 1..) = printed.read(&mut some) {
            output::relay(&some[..count]);
        }
        // Nobody waits any more when it was left running.
        end.send(()).unwrap_or_default();
    });
    ended
}
