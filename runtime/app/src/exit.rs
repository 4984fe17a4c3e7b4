//! How the program ends.

use crate::config::Invalid;
use crate::output;
use pelton_core::contain::{contained, is_inside, note};
use pelton_core::shown::{Keep, shown};
use pelton_host::LoadError;
use std::fmt;
use std::panic::{Location, PanicHookInfo};
use tokio::task::JoinHandle;

/// Exit codes, from sysexits.h where there is one. They are a contract.
pub const USAGE: u8 = 64;
pub const INTERNAL: u8 = 70;
pub const CONFIG: u8 = 78;
/// The command is right, and could not do it: no such letter, a message that is too large.
pub const REFUSED: u8 = 1;

/// Bytes of the words of a panic that are shown.
const PANIC_WORDS: usize = 2048;

/// An error with the code it ends the program with.
#[derive(Debug)]
pub struct Fail {
    pub code: u8,
    pub error: anyhow::Error,
    /// What is said below it, a line each.
    pub lines: Vec<String>,
}

pub type Outcome = Result<(), Fail>;

impl Fail {
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into(), lines: Vec::new() }
    }

    pub fn usage(text: impl fmt::Display) -> Self {
        Self::new(USAGE, anyhow::anyhow!("{text}"))
    }

    /// As [`Fail::refused`], with an error and what led to it.
    pub fn refused_by(error: anyhow::Error) -> Self {
        Self::new(REFUSED, error)
    }

    pub fn refused(text: impl fmt::Display) -> Self {
        Self::new(REFUSED, anyhow::anyhow!("{text}"))
    }

    /// As [`Fail::refused`], with words that may have several lines.
    pub fn in_lines(text: &str) -> Self {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        Self::refused(first).with(rest.lines().map(str::to_owned))
    }

    /// A component that was not loaded: where it is from, and why.
    pub fn not_loaded(origin: impl fmt::Display, error: &LoadError) -> Self {
        let (first, rest) = error.in_lines();
        Self::refused(format!("{origin} {first}")).with(rest)
    }

    /// A configuration that cannot be used.
    pub fn invalid(invalid: &Invalid) -> Self {
        Self::new(CONFIG, anyhow::anyhow!("{}", invalid.heading())).with(invalid.lines())
    }

    /// Nobody reads what a command prints, and it has nothing else to do.
    fn unread() -> Self {
        Self::new(0, anyhow::anyhow!("nobody reads"))
    }

    /// What went wrong, and what led to it where that was not said already.
    pub fn words(&self) -> String {
        let mut words = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            if !words.contains(&cause) {
                words = format!("{words}: {cause}");
            }
        }
        words
    }

    /// What went wrong, with the lines below it.
    pub fn in_one(&self) -> String {
        std::iter::once(self.words()).chain(self.lines.iter().cloned()).collect::<Vec<_>>().join("\n")
    }

    /// With lines below it.
    pub fn with(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}

/// For long lists: an error that ends the command, when nobody gets what it prints.
pub fn is_read() -> Result<(), Fail> {
    if output::is_read() { Ok(()) } else { Err(Fail::unread()) }
}

/// What nobody has thought of is internal.
impl<E: Into<anyhow::Error>> From<E> for Fail {
    fn from(error: E) -> Self {
        Self::new(INTERNAL, error)
    }
}

/// Says what went wrong, and gives the code.
pub fn report(fail: &Fail) -> u8 {
    if fail.code != 0 {
        note!("error: {}", fail.words());
        fail.lines.iter().for_each(|line| note!("{line}"));
    }
    fail.code
}

/// What panics ends the process, unless it is of one pipeline alone, which then ends (see
/// `pelton_core::contain`): a worker that has lost a task must not seem alive. Messages in work come back
/// at the next start. Whether anybody reads of it changes nothing. A task that a library has begun (a
/// client's connection) is told as failed to whoever waits for it, as when the other end breaks.
pub fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        if note(panic.location().map(ToString::to_string)) {
            return;
        }
        if !is_inside() && tokio::task::try_id().is_some() && panic.location().is_none_or(is_of_a_library) {
            let (place, words) = place_and_words(panic);
            tracing::error!(
                "a task of a library has panicked at {place}: {words}. Whoever waits for it is told that \
                 it failed, and tries again. Please report it"
            );
            return;
        }
        output::last_words(&panicked(panic));
        end_now(i32::from(INTERNAL));
    }));
}

/// Ours are compiled by their names in this repository.
fn is_of_a_library(place: &Location<'_>) -> bool {
    !place.file().starts_with("runtime/")
}

/// Begins a task that all pipelines need: its panic ends the process, also where it stands in a library.
pub fn needed(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(panicked) = contained(task).await {
            output::last_words(&format!(
                "error: {panicked}\nPlease report it. Nothing that was confirmed is lost: start again\n"
            ));
            end_now(i32::from(INTERNAL));
        }
    })
}

fn place_and_words(panic: &PanicHookInfo<'_>) -> (String, String) {
    let words = panic.payload_as_str().unwrap_or("no words");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    (place, shown(words).at_most(PANIC_WORDS).to_string())
}

/// Where and why, on lines of their own.
fn panicked(panic: &PanicHookInfo<'_>) -> String {
    let (place, words) = place_and_words(panic);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let trace = std::backtrace::Backtrace::capture();
    let trace = match trace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("{trace}\n"),
        _ => String::new(),
    };
    format!(
        "error: an internal fault of Pelton at {place}, in the thread `{}`: {words}\n{}\
         Please report it with these lines. Nothing that was confirmed is lost: start again\n",
        shown(thread),
        shown(&trace).keeping(Keep::Lines),
    )
}

/// Ends the program when all is done and said.
pub fn end(code: u8) -> ! {
    let code = if !output::finish() && code == 0 { REFUSED } else { code };
    end_now(i32::from(code))
}

/// Ends without a drain: what is in work comes back at the next start. Nothing that C libraries have
/// registered for the end is done: OpenSSL would free what the thread of a client still uses that has a
/// connection to close, or waits for a broker.
pub fn end_now(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}
