//! Where the lines of guests go.

use pelton_core::trace::SpanContext;

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One line of a guest's output, safe to print.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The message that was handled; empty while the handler starts.
    pub message_id: &'a str,
    /// Its level: `Info` for the standard streams.
    pub level: LogLevel,
    /// `stdout`, `stderr`, `log` for `wasi:logging`, or `host` for what the host says of the guest.
    pub stream: &'static str,
    /// The text, at most 4 KiB before escaping.
    pub text: &'a str,
    /// What else the line said, where it was a JSON object: that, as JSON.
    pub fields: Option<&'a str>,
    /// Where the message stands in a trace that is recorded.
    pub trace: Option<SpanContext>,
}

/// Where lines go. Called on guest threads, once a line; must not block for long.
pub trait LogSink: Send + Sync {
    /// Takes one line.
    fn line(&self, line: &LogLine<'_>);
}

/// Makes each line an event of `tracing` with the target `guest`.
#[derive(Debug, Clone, Copy)]
pub struct TracingSink;

impl LogSink for TracingSink {
    fn line(&self, line: &LogLine<'_>) {
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "guest",
                    tracing::Level::$level,
                    pipeline = line.pipeline,
                    message_id = line.message_id,
                    stream = line.stream,
                    trace_id = line.trace.map(|trace| tracing::field::display(trace.trace)),
                    span_id = line.trace.map(|trace| tracing::field::display(trace.span)),
                    fields = line.fields.map(tracing::field::display),
                    "{}",
                    line.text
                )
            };
        }
        match line.level {
            LogLevel::Trace => event!(TRACE),
            LogLevel::Debug => event!(DEBUG),
            LogLevel::Info => event!(INFO),
            LogLevel::Warn => event!(WARN),
            LogLevel::Error => event!(ERROR),
        }
    }
}
