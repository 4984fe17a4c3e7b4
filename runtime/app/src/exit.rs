//! How the program ends.

use std::fmt;
use std::io::Write;

/// Exit codes, from sysexits.h where there is one. They are a contract.
pub const USAGE: u8 = 64;
pub const INTERNAL: u8 = 70;
pub const CONFIG: u8 = 78;
/// The command is right, and could not do it: no such letter, a message that is too large.
pub const REFUSED: u8 = 1;

/// An error with the code it ends the program with.
#[derive(Debug)]
pub struct Fail {
    pub code: u8,
    pub error: anyhow::Error,
}

pub type Outcome = Result<(), Fail>;

impl Fail {
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }

    pub fn usage(text: impl fmt::Display) -> Self {
        Self { code: USAGE, error: anyhow::anyhow!("{text}") }
    }

    /// As [`Fail::refused`], with an error and what led to it.
    pub fn refused_by(error: anyhow::Error) -> Self {
        Self { code: REFUSED, error }
    }

    pub fn refused(text: impl fmt::Display) -> Self {
        Self { code: REFUSED, error: anyhow::anyhow!("{text}") }
    }
}

/// What nobody has thought of is internal.
impl<E: Into<anyhow::Error>> From<E> for Fail {
    fn from(error: E) -> Self {
        Self::new(INTERNAL, error)
    }
}

/// Says what went wrong, and gives the code. A reader of standard output that has gone away
/// (`pelton dlq list | head`) is no error.
pub fn report(fail: &Fail) -> u8 {
    let pipe_closed = fail.error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    });
    if pipe_closed {
        return 0;
    }
    eprintln!("error: {:#}", fail.error);
    fail.code
}

/// Whatever panics ends the process: a worker that has lost a task must not seem alive. Messages in
/// work come back at the next start.
pub fn on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        eprintln!(
            "error: an internal fault of Pelton, above; please report it. Nothing that was confirmed is lost: start again"
        );
        end_now(i32::from(INTERNAL));
    }));
}

/// Ends the program when all is done and said.
pub fn end(code: u8) -> ! {
    // Whoever read it may be gone.
    drop(std::io::stdout().flush());
    end_now(i32::from(code))
}

/// Ends without a drain: what is in work comes back at the next start. Nothing that C libraries have
/// registered for the end is done: OpenSSL would free what the thread of a client still uses that has a
/// connection to close, or waits for a broker.
pub fn end_now(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}
