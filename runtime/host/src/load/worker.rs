//! The process that compiles: both of its sides.
//!
//! The parent starts `PROGRAM compile-worker FOLDER MAX_BYTES MEMORY SECONDS` and writes the
//! component to its standard input. The child limits itself before it reads a byte, compiles into
//! the cache in FOLDER, and ends with 0, or with 1 and the reason on standard error.

use crate::error::LoadError;
use crate::guest::text;
use crate::load::compile::compile_into_cache;
use crate::options::{CompileBudget, HostOptions};
use rustix::process::{
    Resource, Rlimit, Signal, set_parent_process_death_signal, setpriority_process, setrlimit,
};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// The hidden command that makes a program a compile worker.
pub const WORKER_COMMAND: &str = "compile-worker";
/// The arguments that follow it.
pub const WORKER_ARGUMENTS: usize = 4;
/// Compiling yields to everything that handles messages.
const NICE: i32 = 10;
/// Bytes of the child's words that are kept.
const REASON: u64 = 4096;

/// Compiles `bytes` in a process of its own.
pub(crate) fn run(
    program: &Path,
    dir: &Path,
    bytes: &[u8],
    options: &HostOptions,
) -> Result<(), LoadError> {
    let budget = options.compile;
    // Hostile input is parsed there, so it gets nothing of ours, the environment's secrets least.
    let mut child = Command::new(program)
        .env_clear()
        .arg(WORKER_COMMAND)
        .arg(dir)
        .args([
            options.max_component_bytes.to_string(),
            budget.memory.to_string(),
            budget.wall.as_secs().max(1).to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| LoadError::Compile(format!("{} cannot be started: {error}", program.display())))?;
    let said = talk(&mut child, bytes, budget.wall);
    if said.is_none() {
        child
            .kill()
            .map_err(|error| LoadError::Compile(format!("the compiler cannot be ended: {error}")))?;
    }
    let status = child.wait().map_err(|error| LoadError::Compile(error.to_string()))?;
    verdict(said, status, budget)
}

/// Writes the component, and reads what the child says until it ends; `None` after `wall`.
fn talk(child: &mut Child, bytes: &[u8], wall: Duration) -> Option<String> {
    let (sender, said) = mpsc::channel();
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that ended early has said why; the write then fails for that reason.
            stdin.map(|mut stdin| stdin.write_all(bytes).is_ok())
        });
        scope.spawn(move || {
            let mut text = Vec::new();
            let read = stderr.map(|stderr| stderr.take(REASON).read_to_end(&mut text));
            drop(read);
            drop(sender.send(String::from_utf8_lossy(&text).into_owned()));
        });
        let said = said.recv_timeout(wall);
        if said == Err(RecvTimeoutError::Timeout) {
            // Ends both threads above, since it closes the pipes.
            drop(child.kill());
        }
        said.ok()
    })
}

fn verdict(said: Option<String>, status: ExitStatus, budget: CompileBudget) -> Result<(), LoadError> {
    let limits = format!("at most {:?} and {} MiB may be used", budget.wall, budget.memory >> 20);
    let Some(said) = said else {
        return Err(LoadError::Compile(format!("it takes too long; {limits}")));
    };
    if status.success() {
        return Ok(());
    }
    let said = text::clean(said.trim(), 1024);
    Err(LoadError::Compile(match status.signal() {
        Some(signal) => {
            format!("the compiler was ended by signal {signal}, it takes too much time or memory; {limits}")
        }
        None if said.is_empty() => format!("the compiler ended with {status}"),
        None => said,
    }))
}

/// The whole life of a compile worker. `arguments` are those after [`WORKER_COMMAND`].
#[must_use]
pub fn compile_worker(arguments: &[String]) -> ExitCode {
    match work(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // The parent reads this; if it is gone, nobody does.
            #[allow(clippy::disallowed_methods, reason = "the parent reads it")]
            drop(writeln!(std::io::stderr(), "{reason}"));
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &[String]) -> Result<(), String> {
    let [dir, max_bytes, memory, seconds] = arguments else {
        return Err(format!(
            "{WORKER_COMMAND} takes {WORKER_ARGUMENTS} arguments and is started by the worker itself"
        ));
    };
    let number = |text: &String| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    limit(number(memory)?, number(seconds)?).map_err(|error| error.to_string())?;
    let options = HostOptions {
        cache_dir: Some(dir.into()),
        max_component_bytes: usize::try_from(number(max_bytes)?).unwrap_or(usize::MAX),
        ..HostOptions::default()
    };
    let mut bytes = Vec::new();
    let limit = number(max_bytes)?.saturating_add(1);
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    compile_into_cache(&bytes, &options).map_err(|error| match error {
        LoadError::Compile(reason) => reason,
        other => other.to_string(),
    })
}

/// Limits the calling process, for good.
fn limit(memory: u64, seconds: u64) -> rustix::io::Result<()> {
    let at_most = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    setrlimit(Resource::As, at_most(memory))?;
    setrlimit(Resource::Cpu, at_most(seconds.saturating_mul(cores)))?;
    setrlimit(Resource::Core, at_most(0))?;
    // A worker that is told to end meanwhile has no use for what is compiled.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setpriority_process(None, NICE)
}
