//! What the system lets a process do with its threads: how many there may be, and how nice.

use rustix::process::{getpid, getpriority_process, setpriority_process};
use std::sync::{Condvar, Mutex, PoisonError};

/// The highest niceness there is.
const NICEST: i32 = 19;

/// Threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "{wanted} more threads are needed, and after {started} the system gives no more ({error}); raise the \
     limit of processes (`ulimit -u`, or `pids.max` of the control group), or of address space (`ulimit -v`)"
)]
pub struct NoThreads {
    wanted: usize,
    started: usize,
    error: std::io::Error,
}

/// Whether so many more threads can be started, by starting them: libraries panic where one cannot be.
///
/// # Errors
/// They cannot; it says how many can, and what to raise.
pub fn there_is_room_for(wanted: usize) -> Result<(), NoThreads> {
    let (ended, end) = (Mutex::new(false), Condvar::new());
    let lock = || ended.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let wait = || drop(end.wait_while(lock(), |ended| !*ended));
        let mut tried = Ok(());
        for started in 0..wanted {
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, wait) {
                tried = Err(NoThreads { wanted, started, error });
                break;
            }
        }
        *lock() = true;
        end.notify_all();
        tried
    })
}

/// Makes the calling thread nicer than its process was begun: by so much, as far as there is niceness. The
/// process may have been begun nice itself, and nobody but root may take that back. On Linux a thread has a
/// niceness of its own, which the threads and processes that it starts begin with.
pub fn yield_to_others(by: i32) -> rustix::io::Result<()> {
    let begun = getpriority_process(Some(getpid()))?;
    let nicer = begun.saturating_add(by).min(NICEST);
    setpriority_process(None, nicer.max(getpriority_process(None)?))
}
