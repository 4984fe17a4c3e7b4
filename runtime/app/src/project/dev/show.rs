//! What `pelton dev` prints.

use serde_json::Value;

/// Something that it says itself.
pub fn say(text: &str) {
    say!("-- {text}");
}

/// A line of the worker's log, as far as it concerns who writes a handler.
pub fn log(line: &str) {
    let text = shown(line).unwrap_or_default();
    let mut lines = text.lines();
    lines.next().into_iter().for_each(|first| say!("{first}"));
    // Frames of a guest, and whatever else it puts on lines of their own, cannot be taken for anything else.
    lines.for_each(|line| say!("            {line}"));
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
        _ => None,
    }
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
