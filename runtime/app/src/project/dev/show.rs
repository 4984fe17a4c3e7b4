//! What `pelton dev` prints.

use serde_json::Value;
use std::io::Write;

/// Something that it says itself.
pub fn say(text: &str) {
    write(&format!("-- {text}"));
}

/// A line of the worker's log, as far as it concerns who writes a handler.
pub fn log(line: &str) {
    if let Some(text) = shown(line) {
        write(&text);
    }
}

fn shown(line: &str) -> Option<String> {
    let Ok(event) = serde_json::from_str::<Value>(line) else {
        // Not of the log: how it ended, for example.
        return Some(line.to_owned()).filter(|line| !line.trim().is_empty());
    };
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    match text("target") {
        "guest" => Some(format!("   {:<8} {}", text("stream"), text("message"))),
        "outcome" => {
            let attempt = event["attempt"].as_u64().filter(|n| *n > 1);
            let attempt = attempt.map_or(String::new(), |n| format!(", attempt {n}"));
            let after = event["after_ms"].as_u64().map_or(String::new(), |ms| format!(" after {ms} ms"));
            let reason =
                event["reason"].as_str().map_or(String::new(), |reason| format!(": {}", reason.trim_end()));
            Some(format!("{:<8}    {}{attempt}{after}{reason}", text("outcome"), text("message_id")))
        }
        _ if matches!(text("level"), "WARN" | "ERROR") => Some(format!("-- {}", text("message"))),
        _ if text("message").starts_with("a new version") => {
            Some("-- the new version takes all messages".to_owned())
        }
        _ => None,
    }
}

fn write(text: &str) {
    // Nobody is left to tell when it is closed.
    drop(writeln!(std::io::stdout(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn outcomes_lines_and_troubles_are_shown() {
        let lines = [
            r#"{"level":"INFO","target":"guest","stream":"stdout","message_id":"o/1","message":"order 7 taken"}"#,
            r#"{"level":"DEBUG","target":"outcome","message_id":"o/1","attempt":2,"outcome":"retry","after_ms":50,"reason":"down"}"#,
            r#"{"level":"DEBUG","target":"outcome","message_id":"o/2","attempt":1,"outcome":"ok"}"#,
            r#"{"level":"INFO","target":"pelton","message":"started"}"#,
            "error: no",
        ];
        let all: Vec<Option<String>> = lines.iter().map(|line| shown(line)).collect();
        assert_eq!(all[0].as_deref(), Some("   stdout   order 7 taken"));
        assert_eq!(all[1].as_deref(), Some("retry       o/1, attempt 2 after 50 ms: down"));
        assert_eq!(all[2].as_deref(), Some("ok          o/2"));
        assert_eq!((all[3].as_deref(), all[4].as_deref()), (None, Some("error: no")));
    }
}
