//! The log of a worker, read as it comes.

use crate::wait::DEADLINE;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One line of standard error.
#[derive(Debug, Clone)]
pub struct Line {
    /// When the test read it.
    pub at: Instant,
    /// As it was written.
    pub text: String,
    /// The event, when it is JSON.
    pub event: Value,
}

impl Line {
    /// A field of the event, as text; empty when there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.event[name].as_str().unwrap_or_default()
    }

    /// Whether a handler wrote it while it had this message.
    #[must_use]
    pub fn is_of(&self, message: &str) -> bool {
        self.field("target") == "guest" && self.field("message_id") == message
    }

    /// Whether the worker says this, somewhere in its message.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        self.field("message").contains(words)
    }
}

/// All lines so far, and a bell for each new one.
#[derive(Default)]
pub struct Log {
    lines: Mutex<(Vec<Line>, bool)>,
    bell: Condvar,
}

impl Log {
    /// Reads until the stream ends, on a thread of its own.
    pub fn read(stream: impl Read + Send + 'static) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let written = log.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut text = Vec::new();
            while stream.read_until(b'\n', &mut text).is_ok_and(|bytes| bytes > 0) {
                written.push(String::from_utf8_lossy(&text).trim_end().to_owned());
                text.clear();
            }
            written.lock().1 = true;
            written.bell.notify_all();
        });
        log
    }

    fn push(&self, text: String) {
        let event = serde_json::from_str(&text).unwrap_or(Value::Null);
        self.lock().0.push(Line { at: Instant::now(), text, event });
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<Line>, bool)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lock().0.clone()
    }

    /// The first line, of all there are and will be, that is as wanted.
    ///
    /// # Panics
    /// When the log ends, or `DEADLINE` does, without it.
    pub fn wait(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.wait_for(what, 1, wanted)
    }

    /// The line that is the `count`-th that is as wanted.
    ///
    /// # Panics
    /// When the log ends, or `DEADLINE` does, without it.
    pub fn wait_for(&self, what: &str, count: usize, wanted: impl Fn(&Line) -> bool) -> Line {
        let until = Instant::now() + DEADLINE;
        let (mut looked, mut found) = (0, 0);
        let mut lines = self.lock();
        loop {
            for line in &lines.0[looked..] {
                found += usize::from(wanted(line));
                if found == count {
                    return line.clone();
                }
            }
            looked = lines.0.len();
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !lines.1 && !left.is_zero(),
                "{what}: not in the log, which ends with {}",
                tail(&lines.0)
            );
            lines = self.bell.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the stream has ended: the process is gone, and all it said is here.
    ///
    /// # Panics
    /// When it does not end within `DEADLINE`.
    pub fn wait_for_the_end(&self) {
        let waited = self.bell.wait_timeout_while(self.lock(), DEADLINE, |(_, ended)| !*ended);
        assert!(!waited.unwrap_or_else(PoisonError::into_inner).1.timed_out(), "the log does not end");
    }

    /// The last lines, for messages of failed tests.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.lock().0)
    }
}

fn tail(lines: &[Line]) -> String {
    let last = &lines[lines.len().saturating_sub(15)..];
    last.iter().map(|line| format!("\n  {:.400}", line.text)).collect()
}
