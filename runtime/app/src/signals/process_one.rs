//! Process 1 of a container has two duties: to hand signals on, and to take the ends of processes whose
//! parents have gone. `pelton run` leaves both to a small process, which starts the worker as its only child.

use super::are_heard;
use crate::program;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What is handed on to the worker.
const HANDED_ON: [i32; 6] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// Whether this is process 1.
pub fn is_one() -> bool {
    getpid().is_init()
}

/// Runs this same command as a child, until that ends; its exit code.
///
/// # Errors
/// The system's.
pub fn stand_before() -> Result<u8, Error> {
    let mut coming = Signals::new(HANDED_ON.iter().chain(&[SIGCHLD]))?;
    are_heard();
    let mut command = Command::new(program::own()?);
    // A terminal sends its signals to this group: the worker gets each of them once, from here.
    command.args(std::env::args_os().skip(1)).process_group(0);
    let worker = Pid::from_child(&command.spawn()?);
    for signal in coming.forever() {
        if signal == SIGCHLD {
            if let Some(code) = reap(worker)? {
                return Ok(code);
            }
        } else if let Some(signal) = Signal::from_named_raw(signal) {
            // It may just have ended.
            kill_process(worker, signal).unwrap_or_default();
        }
    }
    Ok(0)
}

/// Takes the ends of all that have ended; the worker's exit code, if it is among them.
fn reap(worker: Pid) -> Result<Option<u8>, Error> {
    while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
        if pid == worker {
            return Ok(Some(code(status)));
        }
    }
    Ok(None)
}

/// As shells have it.
fn code(status: WaitStatus) -> u8 {
    let of_signal = || status.terminating_signal().map(|signal| 128 + signal);
    let code = status.exit_status().or_else(of_signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
