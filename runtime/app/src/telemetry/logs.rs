//! Logs, on standard error.

use crate::cli::LogFormat;
use indicatif::ProgressBar;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging. `PELTON_LOG` sets levels, as in `info,guest=warn`; `info` without.
pub fn start(format: LogFormat, line: ProgressBar) {
    let filter = EnvFilter::try_from_env("PELTON_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Above(line));
    match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).init(),
    }
}

/// Writes above the live line, if there is one.
struct Above(ProgressBar);

/// One event, written at once when it is whole.
struct Event {
    line: ProgressBar,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Above {
    type Writer = Event;

    fn make_writer(&'a self) -> Event {
        Event { line: self.0.clone(), text: Vec::with_capacity(256) }
    }
}

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // A closed standard error has no reader to tell.
        let write = || drop(std::io::stderr().write_all(&self.text));
        if self.line.is_hidden() { write() } else { self.line.suspend(write) }
    }
}
