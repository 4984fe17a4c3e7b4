//! Logs, on standard error, written by a thread of its own: to log never waits.

use super::line::bounded;
use super::ring::IntoRing;
use super::throttle::Throttle;
use crate::cli::LogFormat;
use crate::output::{self, Behind, Rank};
use pelton_core::shown::{self, Keep};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io::Write;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Whose words come from handlers.
const OF_GUESTS: &str = "guest";

/// Starts logging. `PELTON_LOG` sets levels, as in `info,guest=warn`; `info` without. They hold for what is
/// ours; libraries say what [`Throttle`] lets through.
pub fn start(format: LogFormat) {
    let (filter, wrong) = levels(std::env::var_os("PELTON_LOG").as_deref());
    let throttle = Throttle::new(&filter.to_string());
    let behind = output::write_behind();
    behind.never_wait();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines { behind: behind.clone(), format });
    match format {
        LogFormat::Text => {
            let fields = debug_fn(|writer, field, value| field_as_text(writer, field.name(), value));
            let logs = logs.with_ansi(output::has_colors()).fmt_fields(fields.delimited(" "));
            logs.finish().with(throttle).with(IntoRing).init();
        }
        LogFormat::Json => {
            logs.json()
                .flatten_event(true)
                .with_current_span(false)
                .finish()
                .with(throttle)
                .with(IntoRing)
                .init();
        }
    }
    if let Some(why) = wrong {
        tracing::warn!(
            "PELTON_LOG is not as levels are written, `info,guest=warn` for example: {why}; `info` holds"
        );
    }
}

/// The levels that are wanted, or why `info` it is.
fn levels(wanted: Option<&OsStr>) -> (EnvFilter, Option<String>) {
    let usual = || EnvFilter::new("info");
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return (usual(), None) };
    match wanted.to_str().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(why)) => (usual(), Some(why.to_string())),
        None => (usual(), Some("it is no text in UTF-8".to_owned())),
    }
}

/// An event is one line, whatever is in its fields.
fn field_as_text(writer: &mut Writer<'_>, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
    let mut safe = Safe(writer);
    match name {
        "message" => write!(safe, "{value:?}"),
        name => write!(safe, "{name}={value:?}"),
    }
}

/// Shows what is not seen.
struct Safe<'w, 'f>(&'w mut Writer<'f>);

impl fmt::Write for Safe<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        shown::write(self.0, text.as_bytes(), Keep::Tabs)
    }
}

/// Where events go.
struct Lines {
    behind: Behind,
    format: LogFormat,
}

impl Lines {
    fn event(&self, rank: Rank) -> Event<'_> {
        Event { lines: self, rank, text: Vec::with_capacity(256) }
    }
}

/// One event, handed over when it is whole.
struct Event<'l> {
    lines: &'l Lines,
    rank: Rank,
    text: Vec<u8>,
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = Event<'l>;

    fn make_writer(&'l self) -> Event<'l> {
        self.event(Rank::Own)
    }

    fn make_writer_for(&'l self, meta: &Metadata<'_>) -> Event<'l> {
        let rank = if meta.target() == OF_GUESTS { Rank::Guest } else { Rank::Own };
        self.event(rank)
    }
}

impl Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        let is_json = self.lines.format == LogFormat::Json;
        let Ok(text) = std::str::from_utf8(&self.text) else {
            return self.lines.behind.take(&self.text, self.rank);
        };
        let mut text = Cow::Borrowed(text);
        if is_json && self.rank == Rank::Guest {
            text = with_fields(&text).map_or(text, Cow::Owned);
        }
        if is_json && text.trim_end().contains(shown::is_hidden) {
            text = Cow::Owned(output::json_text(&text));
        }
        // What handlers say has bounds of its own, where it is taken in.
        let text = if self.rank == Rank::Own { bounded(&text, is_json) } else { text.as_ref().into() };
        self.lines.behind.take(text.as_bytes(), self.rank);
    }
}

/// A handler's line has fields of its own, which are JSON in a text until now. None where it has not.
fn with_fields(line: &str) -> Option<String> {
    // Within a text each of these quotes has a backslash before it.
    const KEY: &str = ",\"fields\":";
    let at = line.find(&format!("{KEY}\""))? + KEY.len();
    let rest = line.get(at..)?;
    let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let fields = texts.next()?.ok()?;
    let behind = rest.get(texts.byte_offset()..)?;
    serde_json::from_str::<serde::de::IgnoredAny>(&fields).ok().filter(|_| fields.starts_with('{'))?;
    Some(format!("{}{fields}{behind}", line.get(..at)?))
}

#[cfg(test)]
mod tests {
    use super::{levels, with_fields};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn fields_of_a_handler_are_json_within_json() {
        let line = r#"{"message":"a \",\"fields\":\"{}","stream":"stdout","fields":"{\"n\":[1,\"x\\\"y\"]}","z":1}"#;
        let json = with_fields(line).expect("it has some");
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(json["fields"], serde_json::json!({ "n": [1, "x\"y"] }));
        assert_eq!((&json["z"], &json["message"]), (&1.into(), &"a \",\"fields\":\"{}".into()));
        for odd in
            ["{\"a\":1}", r#"{"a":1,"fields":"7"}"#, r#"{"a":1,"fields":"{"}"#, r#"{"a":1,"fields":{}}"#]
        {
            assert_eq!(with_fields(odd), None, "{odd}");
        }
    }

    #[test]
    fn wrong_levels_are_told() {
        for good in [None, Some(""), Some("debug"), Some("info,guest=warn")] {
            assert_eq!(levels(good.map(OsStr::new)).1, None, "{good:?}");
        }
        assert!(levels(Some(OsStr::new("info,guest=loud"))).1.is_some());
        assert!(levels(Some(OsStr::from_bytes(b"\xff"))).1.is_some());
    }
}
