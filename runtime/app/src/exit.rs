//! How the program ends.

use std::fmt;
use std::process::ExitCode;

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
pub fn report(fail: &Fail) -> ExitCode {
    let pipe_closed = fail.error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    });
    if pipe_closed {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {:#}", fail.error);
    ExitCode::from(fail.code)
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

/// Ends without a drain: what is in work comes back at the next start.
#[allow(clippy::disallowed_methods, reason = "for panics and a second signal, where nothing may wait")]
pub fn end_now(code: i32) -> ! {
    std::process::exit(code)
}
