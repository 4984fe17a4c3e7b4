//! The one way out of the program: standard output for answers, standard error for all else.
//!
//! The unit is a line. Whatever is in it, names from outside most of all, it stays one line and nothing in
//! it is obeyed by a terminal. To print never fails: a command's work does not depend on who reads of it.
//! Where nobody reads any more (`pelton dlq list | head`) it goes on in silence; where what is printed
//! cannot be kept (a full device) the command is done all the same, and then it ends with 1 and says so.

mod behind;
mod fd;
pub mod table;

pub use behind::{Behind, Rank};

use behind::Left;

use clap_complete::Shell;
use pelton_core::shown::{self, Keep, shown};
use rustix::io::Errno;
use serde_json::Value;
use std::fmt::Arguments;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What the end of the process waits for a reader that reads nothing: of what stands in a log, and of an
/// answer.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Prints a line for people on standard output.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::say(::std::format_args!($($words)*)) };
}

/// Prints a line for people on standard error.
macro_rules! note {
    ($($words:tt)*) => { $crate::output::note(::std::format_args!($($words)*)) };
}

/// Standard error of a process that has logs or a line that is redrawn: written by a thread of its own.
static BEHIND: OnceLock<Behind> = OnceLock::new();

/// What became of the two streams.
static STATE: Mutex<Streams> = Mutex::new(Streams { out: None, err: None, patience: None });

struct Streams {
    /// Why nothing more is printed on standard output.
    out: Option<Errno>,
    /// Why something is missing on standard error.
    err: Option<Errno>,
    /// How long a reader that reads nothing is waited for.
    patience: Option<Duration>,
}

fn state<T>(look: impl FnOnce(&mut Streams) -> T) -> T {
    look(&mut STATE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How long a reader that reads nothing is waited for, as it is now.
fn patience() -> Option<Duration> {
    state(|state| state.patience)
}

#[allow(clippy::disallowed_methods, reason = "here is the one writer")]
fn standard_output(write: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>) -> Result<(), Errno> {
    write(std::io::stdout().as_fd())
}

#[allow(clippy::disallowed_methods, reason = "here is the one writer")]
fn standard_error(write: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>) -> Result<(), Errno> {
    write(std::io::stderr().as_fd())
}

/// Whether both streams are a terminal's that can draw a line anew.
#[allow(clippy::disallowed_methods, reason = "nothing is written")]
pub fn is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && redraws()
}

/// Whether standard error is a terminal's.
#[allow(clippy::disallowed_methods, reason = "nothing is written")]
pub fn is_terminal_error() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}

/// Whether what is on standard error may be drawn anew: a terminal that knows how.
pub fn redraws() -> bool {
    is_terminal_error() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether it may have colours: such a terminal, and nobody who wants none (`NO_COLOR`, whatever it says).
pub fn has_colors() -> bool {
    redraws() && std::env::var_os("NO_COLOR").is_none_or(|said| said.is_empty())
}

/// One line, whatever is in it.
fn line(words: Arguments<'_>) -> Vec<u8> {
    let words = words.to_string();
    format!("{}\n", shown(&words).keeping(Keep::Tabs)).into_bytes()
}

/// See the macro of this name.
pub fn say(words: Arguments<'_>) {
    write_out(&line(words));
}

/// See the macro of this name.
pub fn note(words: Arguments<'_>) {
    write_err(&line(words));
}

/// Prints a line of JSON on standard output: all that the value has, with escapes for what is not seen.
pub fn json(value: &Value) {
    write_out(format!("{}\n", json_text(&value.to_string())).as_bytes());
}

/// JSON with what is not seen as escapes; it stands in texts only, so the value is the same.
pub fn json_text(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if shown::is_hidden(c) && c != '\n' {
            let escape = |unit: &mut u16| format!("\\u{unit:04x}");
            text.extend(c.encode_utf16(&mut [0; 2]).iter_mut().map(escape));
        } else {
            text.push(c);
        }
    }
    text
}

/// Prints completions on standard output, to be read by a shell.
pub fn completions(shell: Shell, mut command: clap::Command) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "pelton", &mut text);
    write_out(&text);
}

/// Prints on standard error what a tool of the project has printed, as it is.
pub fn relay(bytes: &[u8]) {
    write_err(bytes);
}

fn write_out(bytes: &[u8]) {
    if state(|state| state.out.is_some()) {
        return;
    }
    if let Err(errno) = standard_output(|fd| fd::write(fd, bytes, patience)) {
        state(|state| state.out = Some(errno));
    }
}

fn write_err(bytes: &[u8]) {
    if let Some(behind) = BEHIND.get() {
        return behind.take(bytes, Rank::Own);
    }
    if let Err(errno) = standard_error(|fd| fd::write(fd, bytes, patience)) {
        state(|state| state.err = Some(errno));
    }
}

/// Hands standard error to a thread: whoever writes there waits for nobody from now on.
pub fn write_behind() -> &'static Behind {
    BEHIND.get_or_init(|| {
        Behind::start(|bytes| {
            let written = standard_error(|fd| fd::write_patiently(fd, bytes));
            written.inspect_err(|errno| state(|state| state.err = Some(*errno)))
        })
    })
}

/// Nobody is waited for any longer than a moment: a worker ends when it is told to, whoever does not read.
pub fn wait_for_nobody() {
    state(|state| state.patience = Some(ANSWER_TIMEOUT));
}

/// Whether somebody gets what is printed on standard output.
pub fn is_read() -> bool {
    state(|state| state.out.is_none())
}

/// Writes out what is left, for a moment at most. Returns whether all that was printed has gone out, or had
/// nobody to go to.
pub fn finish() -> bool {
    wait_for_nobody();
    let (out, err) = state(|state| (state.out.filter(|errno| !is_gone(*errno)), state.err));
    if let Some(errno) = out {
        let why = if errno == Errno::TIMEDOUT { "nobody reads it".to_owned() } else { errno.to_string() };
        note!(
            "error: standard output cannot be written: {why}. What stands there is not whole; all else was \
             done"
        );
    }
    // A log that is kept badly says nothing of the work that was done.
    let is_log = BEHIND.get().is_some_and(|behind| behind.finish(LOG_TIMEOUT) == Left::Log);
    let err = err.filter(|errno| !is_log && !is_gone(*errno));
    out.or(err).is_none()
}

/// Whether there is nobody to read: the reader of a pipe has ended, or the stream was never open for writing.
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::PIPE | Errno::BADF)
}

/// Says something of a process that is about to end, whatever state it is in. Never panics, and waits a
/// moment at most.
pub fn last_words(text: &str) {
    let bytes = text.as_bytes();
    match BEHIND.get() {
        Some(behind) => {
            behind.take(bytes, Rank::Own);
            behind.finish(LOG_TIMEOUT);
        }
        // There is nobody to tell when it cannot be written.
        None => drop(standard_error(|fd| fd::write(fd, bytes, || Some(LOG_TIMEOUT)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_one_line_and_json_loses_nothing() {
        let text = "a\n\u{1b}[31m\u{9b}\u{202e}\u{200b}\u{e0041}\t\"é😀\u{7f}";
        assert_eq!(
            line(format_args!("id {text}")),
            "id a\\x0a\\x1b[31m\\u{9b}\\u{202e}\\u{200b}\\u{e0041}\t\"é😀\\x7f\n".as_bytes()
        );
        let value = json!({ text: [text, 1] });
        let written = json_text(&value.to_string());
        assert!(!written.contains(shown::is_hidden), "{written:?}");
        assert_eq!(serde_json::from_str::<Value>(&written).expect("it is JSON"), value);
    }
}
