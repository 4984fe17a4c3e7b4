//! Progress of long commands, on a terminal only: a line that is redrawn, by the thread that writes
//! standard error.

use crate::output::{self, Behind, table};
use rustix::termios::tcgetwinsize;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two times that it is drawn.
const PERIOD: Duration = Duration::from_millis(250);
/// Where the terminal does not say how wide it is.
const WIDTH: usize = 80;

/// A line that is redrawn; nothing at all in a pipe.
pub struct Progress {
    behind: Option<&'static Behind>,
    done: &'static str,
    all: Option<u64>,
    began: Instant,
    drawn: Mutex<Option<Instant>>,
}

impl Progress {
    /// Nothing is seen yet.
    pub fn new() -> Self {
        Self::of("", None)
    }

    /// To show how far it is: what is done, and how often it is to be, where that is known.
    pub fn of(done: &'static str, all: Option<u64>) -> Self {
        let behind = output::redraws().then(output::write_behind);
        Self { behind, done, all, began: Instant::now(), drawn: Mutex::default() }
    }

    /// Shows how often it is done.
    pub fn shows(&self, count: u64) {
        self.set(|| {
            let all = self.all.map(|all| format!(" of {}", table::number(all))).unwrap_or_default();
            format!("{} {}{all}", self.done, table::number(count))
        });
    }

    /// Since it was made.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Shows other words, unless others have just been shown.
    pub fn set(&self, words: impl FnOnce() -> String) {
        let Some(behind) = self.behind else { return };
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        *drawn = Some(Instant::now());
        behind.draw(&words().chars().take(width()).collect::<String>());
    }

    /// Takes it away.
    pub fn clear(&self) {
        self.behind.inspect(|behind| behind.draw(""));
    }
}

/// Columns, without the last: a line that fills it goes on to the next.
#[allow(clippy::disallowed_methods, reason = "nothing is written")]
fn width() -> usize {
    let size = tcgetwinsize(std::io::stderr().as_fd()).map_or(0, |size| usize::from(size.ws_col));
    (if size == 0 { WIDTH } else { size }) - 1
}
