//! A line of a guest that is a JSON object, as loggers write it: its level, its words, and what else it says.

use crate::guest::sink::LogLevel;
use serde_json::{Map, Value};

/// What such a line says.
#[derive(Debug, PartialEq)]
pub(crate) struct Structured {
    pub(crate) level: LogLevel,
    pub(crate) message: String,
    /// The rest, as a JSON object; none where there is none.
    pub(crate) fields: Option<String>,
}

/// What loggers call the level, and the words.
const LEVELS: [&str; 4] = ["level", "severity", "lvl", "levelname"];
const MESSAGES: [&str; 2] = ["message", "msg"];

/// None for a line that is no object, or that says neither a level nor words: it is a text like any other.
pub(crate) fn parse(line: &[u8]) -> Option<Structured> {
    let line = line.trim_ascii();
    // Before anything is parsed: most lines are no JSON.
    if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
        return None;
    }
    let mut all: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let level = LEVELS.into_iter().find_map(|name| Some((name, level(all.get(name)?)?)));
    let message = MESSAGES.into_iter().find(|name| matches!(all.get(*name), Some(Value::String(_))));
    if level.is_none() && message.is_none() {
        return None;
    }
    level.iter().for_each(|(name, _)| drop(all.remove(*name)));
    let message = message.and_then(|name| all.remove(name));
    Some(Structured {
        level: level.map_or(LogLevel::Info, |(_, level)| level),
        message: message.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
        fields: (!all.is_empty()).then(|| Value::Object(all).to_string()),
    })
}

/// As words, or as the numbers of pino and bunyan (30) and of Python (20).
fn level(value: &Value) -> Option<LogLevel> {
    let word = match value {
        Value::String(word) => word.to_ascii_lowercase(),
        Value::Number(number) => {
            return Some(match number.as_u64()? {
                0..=10 => LogLevel::Trace,
                11..=20 => LogLevel::Debug,
                21..=30 => LogLevel::Info,
                31..=40 => LogLevel::Warn,
                41..=60 => LogLevel::Error,
                _ => return None,
            });
        }
        _ => return None,
    };
    Some(match word.as_str() {
        "trace" => LogLevel::Trace,
        "debug" => LogLevel::Debug,
        "info" | "information" | "notice" => LogLevel::Info,
        "warn" | "warning" => LogLevel::Warn,
        "error" | "err" | "fatal" | "critical" | "alert" | "emergency" | "panic" => LogLevel::Error,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_loggers_write_is_read() {
        let read = |line: &str| {
            parse(line.as_bytes()).map(|one| (one.level, one.message, one.fields.unwrap_or_default()))
        };
        let none = String::new;
        for (line, wanted) in [
            (r#"{"level":"info","msg":"hi"}"#, (LogLevel::Info, "hi".to_owned(), none())),
            (
                r#" {"severity":"WARNING","message":"hi","n":1} "#,
                (LogLevel::Warn, "hi".into(), r#"{"n":1}"#.into()),
            ),
            (r#"{"level":50,"msg":"no","time":7}"#, (LogLevel::Error, "no".into(), r#"{"time":7}"#.into())),
            (
                r#"{"message":"hi","a":{"b":[1]}}"#,
                (LogLevel::Info, "hi".into(), r#"{"a":{"b":[1]}}"#.into()),
            ),
            (r#"{"level":"debug","n":null}"#, (LogLevel::Debug, none(), r#"{"n":null}"#.into())),
            (r#"{"level":"odd","msg":"m"}"#, (LogLevel::Info, "m".into(), r#"{"level":"odd"}"#.into())),
        ] {
            assert_eq!(read(line), Some(wanted), "{line}");
        }
    }

    #[test]
    fn what_is_no_log_line_stays_as_it_is() {
        let deep = format!("{}1{}", "{\"a\":".repeat(600), "}".repeat(600));
        for line in [
            "",
            "{}",
            "text",
            "[1]",
            r#"{"order":7}"#,
            r#"{"level":"info""#,
            r#"{"msg":7}"#,
            &deep,
            "{\"\u{0}\"}",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(parse(b"{\"msg\":\"\xff\"}"), None);
    }
}
