//! One process of `pelton run`: started, watched, told to end, killed.

use crate::log::Log;
use crate::wait::DEADLINE;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A worker that runs. Killed when it is dropped.
pub struct Worker {
    /// Its process.
    pub pid: u32,
    /// What it says.
    pub log: Arc<Log>,
    handle: OwnedFd,
    ended: Receiver<(ExitStatus, String, Instant)>,
}

/// How a worker ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it was not killed.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// When.
    pub at: Instant,
}

impl Worker {
    /// Starts a command, with its output read as it comes.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the worker can be started");
        let id = Pid::from_child(&child);
        let handle = pidfd_open(id, PidfdFlags::empty()).expect("the worker has just been started");
        let log = Log::read(child.stderr.take().expect("it is piped"));
        let mut out = child.stdout.take().expect("it is piped");
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let read = out.read_to_string(&mut text);
            let status = child.wait().expect("it is our child");
            read.expect("standard output is text");
            // Nobody asks any more when the test is over.
            drop(tell.send((status, text, Instant::now())));
        });
        Self { pid: u32::try_from(id.as_raw_nonzero().get()).expect("a process id"), log, handle, ended }
    }

    /// Waits until its pipelines have been opened.
    #[must_use]
    pub fn ready(self) -> Self {
        self.log.wait("the worker starts", |line| line.says("started"));
        self
    }

    /// Sends a signal; whether it was there to take it.
    pub fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.handle, signal).is_ok()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `DEADLINE`.
    #[must_use]
    pub fn wait(&self) -> Ended {
        self.ends_within(DEADLINE).unwrap_or_else(|| panic!("the worker does not end:{}", self.log.tail()))
    }

    /// Waits for its end, or for so long.
    #[must_use]
    pub fn ends_within(&self, limit: Duration) -> Option<Ended> {
        let (status, out, at) = self.ended.recv_timeout(limit).ok()?;
        self.log.wait_for_the_end();
        Some(Ended { code: status.code(), signal: status.signal(), out, at })
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    #[must_use]
    pub fn kill(&self) -> Ended {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Ends it in order, and sees that it says so.
    ///
    /// # Panics
    /// When it does not end with 0.
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        let ended = self.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}{}", self.log.tail());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
