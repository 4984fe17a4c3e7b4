//! Why a guest did not come to an answer, in words for the operator.

use crate::guest::limits::Refusal;
use crate::guest::text;
use crate::kinds::NotMade;
use crate::run::control::{Interrupted, Overdue};
use pelton_core::last_words::LEAD;
use pelton_core::outcome::{FaultKind, Outcome};
use std::fmt::Write;
use std::time::Duration;
use wasmtime::{PoolConcurrencyLimitError, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Bytes of a reason that goes into an outcome.
pub(crate) const REASON_BYTES: usize = 4096;
/// Guest frames in a reason.
pub(crate) const FRAMES: usize = 20;

/// How a call ended without an answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The message failed.
    Fault(FaultKind, String),
    /// Shutdown or reload ended it.
    Interrupted,
    /// There was no room for an instance; the message was not started.
    NoRoom,
}

impl Stop {
    /// From the error of a call, with what was refused to the guest before. `said` are its last words on
    /// standard error: of a panic, or an assertion, the trap itself says nothing.
    pub(crate) fn of_call(
        error: &wasmtime::Error,
        refused: Option<Refusal>,
        said: &str,
        timeout: Duration,
    ) -> Self {
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::NoRoom;
        }
        if error.is::<Interrupted>() {
            return Self::Interrupted;
        }
        if error.is::<Overdue>() {
            let head = format!("timed out: it ran for longer than {timeout:?}");
            return Self::Fault(FaultKind::Timeout, with_frames(head, error));
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            let head = format!("the handler called exit({}){}", exit.0, last_words(said));
            return Self::Fault(FaultKind::Trap, with_frames(head, error));
        }
        let cause = text::clean(&error.root_cause().to_string(), REASON_BYTES / 2);
        match refused {
            Some(refusal) => {
                Self::Fault(FaultKind::Memory, with_frames(format!("{refusal}; then: {cause}"), error))
            }
            None if error.is::<WasmBacktrace>() => {
                Self::Fault(FaultKind::Trap, with_frames(cause + &last_words(said), error))
            }
            // It is ours, and has the words already.
            None => Self::Fault(FaultKind::Trap, cause),
        }
    }

    /// From what kept an instance from being made.
    pub(crate) fn of_start(failed: &NotMade, refused: Option<Refusal>, timeout: Duration) -> Self {
        let (NotMade::Start(error) | NotMade::Type(error)) = failed;
        match Self::of_call(error, refused, "", timeout) {
            Self::Fault(FaultKind::Trap | FaultKind::Memory, reason) => {
                Self::Fault(FaultKind::Instantiate, reason)
            }
            other => other,
        }
    }

    /// A guest that waited in a host call when its time was over.
    pub(crate) fn waited(timeout: Duration) -> Self {
        let reason = format!("timed out: it waited in a host call when {timeout:?} had passed");
        Self::Fault(FaultKind::Timeout, reason)
    }

    /// As the outcome of one message.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Fault(kind, reason) => Outcome::Fault { kind: *kind, reason: reason.clone() },
            Self::Interrupted => Outcome::Interrupted,
            Self::NoRoom => Outcome::NotStarted,
        }
    }
}

fn last_words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("{LEAD}{said}") }
}

/// Appends the guest's frames, innermost first: `  0: orders!orders::handle`.
fn with_frames(mut head: String, error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return head;
    };
    let mut bounded = Bounded(String::new(), REASON_BYTES);
    // Stops at the bound, so a name of a megabyte costs four kilobytes.
    let whole = write!(bounded, "{trace}").is_ok();
    for line in bounded.0.lines().skip(1).take(FRAMES) {
        let Some((number, rest)) = line.split_once(": ") else {
            continue;
        };
        let name = rest.split_once(" - ").map_or(rest, |(_address, name)| name);
        head.push_str("\n  ");
        head.push_str(number.trim());
        head.push_str(": ");
        head.push_str(&text::clean(name, 256));
    }
    if !whole {
        head.push_str("\n  ...");
    }
    let keep = head.floor_char_boundary(REASON_BYTES);
    head.truncate(keep);
    head
}

/// A string that refuses to grow beyond a number of bytes.
struct Bounded(String, usize);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.1 - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(std::fmt::Error) } else { Ok(()) }
    }
}
