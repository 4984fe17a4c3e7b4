//! What a handler prints, kept for whoever tries it out.

use pelton_host::{LogLevel, LogLine, LogSink};
use std::sync::{Mutex, PoisonError};

/// One line, safe to print: cut and escaped as in a worker's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub level: LogLevel,
    /// `stdout`, `stderr`, `log` for `wasi:logging`, `host` for what Pelton says of the handler.
    pub stream: &'static str,
    /// The message that was handled then; empty while the handler started.
    pub message_id: String,
    pub text: String,
}

impl Line {
    /// The level as a word.
    pub fn level(&self) -> &'static str {
        match self.level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

/// Keeps lines until they are taken.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Vec<Line>>);

impl Lines {
    /// What has come since the last time.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LogSink for Lines {
    fn line(&self, line: &LogLine<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Line {
            level: line.level,
            stream: line.stream,
            message_id: line.message_id.to_owned(),
            text: line.text.to_owned(),
        });
    }
}
