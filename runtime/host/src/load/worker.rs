//! The process that compiles: both of its sides.
//!
//! The parent starts `PROGRAM compile-worker FOLDER MAX_BYTES MEMORY SECONDS` and writes the
//! component to its standard input. The child limits itself before it reads a byte, compiles into
//! the cache in FOLDER, and ends with 0, or with the reason on standard error: with 1 when the bytes are
//! refused, with another code when it was kept from its work. Only the former says anything of the component.

use crate::error::{Cause, LoadError};
use crate::guest::text;
use crate::load::compile::compile_into_cache;
use crate::options::{CompileBudget, HostOptions};
use crate::run::threads;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use std::ffi::OsString;
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
/// Compiling yields to everything that handles messages, by so much more than the thread that waits for it.
const NICE: i32 = 5;
/// How it ends when the bytes are refused, and when it could not do its work (EX_TEMPFAIL of sysexits.h).
const REFUSED: u8 = 1;
const KEPT: u8 = 75;
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
        .map_err(|error| {
            LoadError::NotCompiled(format!("{} cannot be started: {error}", program.display()))
        })?;
    let said = talk(&mut child, bytes, budget.wall);
    if said.is_none() {
        child
            .kill()
            .map_err(|error| LoadError::NotCompiled(format!("the compiler cannot be ended: {error}")))?;
    }
    let status = child.wait().map_err(|error| LoadError::NotCompiled(error.to_string()))?;
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
    let limits = format!(
        "at most {:?} and {} MiB may be used, and what limits (`ulimit`) this process has",
        budget.wall,
        budget.memory >> 20
    );
    let Some(said) = said else {
        return Err(LoadError::NotCompiled(format!("it takes too long; {limits}")));
    };
    if status.success() {
        return Ok(());
    }
    let said = text::clean(said.trim(), 1024);
    Err(match (status.signal(), status.code()) {
        (Some(signal), _) => LoadError::NotCompiled(format!(
            "the compiler was ended by signal {signal}, of a person or because it takes too much time or \
             memory; {limits}"
        )),
        (None, Some(code)) if code == i32::from(REFUSED) => LoadError::Compile(said),
        (None, _) if said.is_empty() => LoadError::NotCompiled(format!("the compiler ended with {status}")),
        (None, _) => LoadError::NotCompiled(said),
    })
}

/// The whole life of a compile worker. `arguments` are those after [`WORKER_COMMAND`].
#[must_use]
pub fn compile_worker(arguments: &[OsString]) -> ExitCode {
    match work(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => {
            // The parent reads this; if it is gone, nobody does.
            #[allow(clippy::disallowed_methods, reason = "the parent reads it")]
            drop(writeln!(std::io::stderr(), "{reason}"));
            ExitCode::from(code)
        }
    }
}

fn work(arguments: &[OsString]) -> Result<(), (u8, String)> {
    let kept = |why: String| (KEPT, why);
    let [dir, max_bytes, memory, seconds] = arguments else {
        return Err(kept(format!(
            "{WORKER_COMMAND} takes {WORKER_ARGUMENTS} arguments and is started by the worker itself"
        )));
    };
    let number = |text: &OsString| {
        let number = text.to_str().and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| kept(format!("{} is no number", text.display())))
    };
    limit(number(memory)?, number(seconds)?)
        .map_err(|error| kept(format!("the compiler cannot limit itself: {error}")))?;
    threads::there_is_room_for(std::thread::available_parallelism().map_or(1, usize::from) + 1)
        .map_err(|error| kept(error.to_string()))?;
    let max = usize::try_from(number(max_bytes)?).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let limit = number(max_bytes)?.saturating_add(1);
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(|error| kept(error.to_string()))?;
    compile_into_cache(&bytes, max, Path::new(dir)).map_err(|error| {
        let code = if error.cause() == Cause::Bytes { REFUSED } else { KEPT };
        match error {
            LoadError::Compile(reason) | LoadError::NotCompiled(reason) => (code, reason),
            other => (code, other.to_string()),
        }
    })
}

/// Limits the calling process, for good.
fn limit(memory: u64, seconds: u64) -> rustix::io::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    at_most(Resource::As, memory)?;
    at_most(Resource::Cpu, seconds.saturating_mul(cores))?;
    at_most(Resource::Core, 0)?;
    // A worker that is told to end meanwhile has no use for what is compiled.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    threads::yield_to_others(NICE)
}

/// The stricter of this limit and the one that was inherited: nobody but root may raise one.
fn at_most(resource: Resource, wanted: u64) -> rustix::io::Result<()> {
    let now = getrlimit(resource);
    let maximum = now.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let current = now.current.map_or(maximum, |current| current.min(maximum));
    setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })
}
