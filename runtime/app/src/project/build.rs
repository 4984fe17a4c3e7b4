//! Building: the tools are there, the project's command succeeds, and what it made is a handler.

use super::{Project, module, shell, tools};
use crate::exit::Fail;
use crate::harness::Harness;
use crate::output;
use anyhow::Context;
use pelton_core::shown::path as shown_path;
use pelton_host::HandlerSpec;
use std::io::{PipeReader, Read};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What is waited for the rest of what a command has printed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was made.
#[derive(Debug)]
pub struct Built {
    /// Bytes of the component.
    pub size: u64,
    /// What the command took.
    pub took: Duration,
}

/// Builds a project and leaves its component in its place. What the command prints goes to standard error.
/// Blocks until it is done.
///
/// # Errors
/// With the code 1: a tool is missing, the command failed, or it made nothing.
pub fn build(project: &Project) -> Result<Built, Fail> {
    want_tools(project)?;
    let component = project.component();
    if let Some(folder) = component.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let began = Instant::now();
    let status = run(project, &project.manifest.build)?;
    if !status.success() {
        return Err(Fail::refused(format!(
            "the build failed: `{}` ended with {status}",
            project.manifest.build
        )));
    }
    if let Some(module) = &project.manifest.module {
        let module = project.dir.join(module);
        made(project, &module, "module")?;
        module::place(&module, &component, project.manifest.kind).map_err(Fail::refused_by)?;
    }
    Ok(Built { size: made(project, &component, "component")?, took: began.elapsed() })
}

/// The size in bytes of what was made.
fn made(project: &Project, file: &Path, key: &str) -> Result<u64, Fail> {
    let found = std::fs::metadata(file).map_err(|_| {
        Fail::refused(format!(
            "`{}` made no {}: `{key}` in handler.toml says where it is",
            project.manifest.build,
            file.display()
        ))
    })?;
    Ok(found.len())
}

/// Loads what was built as a worker would: checked, compiled, linked and started once.
///
/// # Errors
/// With the code 1: why it is no handler.
pub fn validate(project: &Project, spec: &HandlerSpec) -> Result<Harness, Fail> {
    Harness::load(&project.manifest.name, &project.component(), spec)
}

/// Runs a command of the project to its end. Its standard output goes to standard error, since ours is for
/// answers; on a terminal as it is, for what it draws there, and else by us: a compiler that cannot print
/// fails, and nobody who does not read shall make a build fail.
pub fn run(project: &Project, line: &str) -> Result<ExitStatus, Fail> {
    let mut command = shell::command(project, line);
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
    relayed.recv_timeout(PATIENCE).unwrap_or_default();
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

/// # Errors
/// What is missing, and what to type.
pub fn want_tools(project: &Project) -> Result<(), Fail> {
    let missing = tools::missing(project);
    if missing.is_empty() {
        return Ok(());
    }
    let lines = missing
        .iter()
        .flat_map(|tool| [format!("  {}; to install it:", tool.what), format!("      {}", tool.install)]);
    let dir = shown_path(&project.dir);
    Err(Fail::refused(format!("this project cannot be built here yet, in {dir}:")).with(lines))
}

/// What to type before the first build, if anything.
pub fn installs(project: &Project) -> Vec<String> {
    let mut lines: Vec<String> = tools::missing(project).into_iter().map(|tool| tool.install).collect();
    lines.dedup();
    lines
}
