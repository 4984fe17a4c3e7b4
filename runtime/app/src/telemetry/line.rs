//! One line of the log is not longer than [`MAX`] bytes, whoever has filled its fields.

use std::borrow::Cow;

/// The longest line, more or less what comes behind it.
pub const MAX: usize = 4 << 10;
/// Room for the words that say what is missing.
const WORDS: usize = 40;

/// A line with its end, cut where it is too long; what is missing is said where it was.
pub fn bounded(line: &str, is_json: bool) -> Cow<'_, str> {
    if line.len() <= MAX {
        return Cow::Borrowed(line);
    }
    Cow::Owned(if is_json { cut_json(line) } else { cut_text(line) })
}

fn more(bytes: usize) -> String {
    format!("... ({bytes} bytes more)")
}

fn cut_text(line: &str) -> String {
    let line = line.trim_end_matches('\n');
    let at = line.floor_char_boundary(MAX - WORDS);
    format!("{}{}\n", &line[..at], more(line.len() - at))
}

/// Cuts the longest texts first, so that it stays JSON with all of its fields.
fn cut_json(line: &str) -> String {
    let mut json = line.to_owned();
    while json.len() > MAX {
        let Some((from, to)) = longest_text(&json) else { break };
        let kept = (to - from).saturating_sub(json.len() - MAX + WORDS);
        let at = from + last_unit(&json[from..to], kept);
        let words = more(to - at);
        if to - at <= words.len() {
            break;
        }
        json.replace_range(at..to, &words);
    }
    json
}

/// Where the longest text of a line of JSON stands, without its quotes.
fn longest_text(json: &str) -> Option<(usize, usize)> {
    let (mut begun, mut is_escaped, mut longest) = (None, false, None);
    for (at, byte) in json.bytes().enumerate() {
        match (begun, byte) {
            _ if is_escaped => is_escaped = false,
            (Some(_), b'\\') => is_escaped = true,
            (None, b'"') => begun = Some(at + 1),
            (Some(from), b'"') => {
                if longest.is_none_or(|(known, end)| end - known < at - from) {
                    longest = Some((from, at));
                }
                begun = None;
            }
            _ => {}
        }
    }
    longest
}

/// The last place, up to `max`, that is between two characters as JSON writes them.
fn last_unit(text: &str, max: usize) -> usize {
    let (mut at, mut rest) = (0, text);
    loop {
        let size = match rest.as_bytes() {
            [] => return at,
            [b'\\', b'u', ..] => 6,
            [b'\\', ..] => 2,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        let Some(after) = rest.get(size..).filter(|_| at + size <= max) else { return at };
        (at, rest) = (at + size, after);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_long_line_is_cut_between_characters_and_says_how_much_is_missing() {
        assert_eq!(bounded("short\n", false), "short\n");
        let long = format!("WARN {}\n", "é".repeat(10_000));
        let cut = bounded(&long, false);
        assert!(cut.len() <= MAX && cut.ends_with(" bytes more)\n"), "{}", cut.len());
        let kept = cut.split("...").next().unwrap().len();
        assert!(cut.contains(&format!("({} bytes more)", long.len() - 1 - kept)), "{cut}");
    }

    #[test]
    fn json_stays_json_with_all_of_its_fields() {
        for fill in ["x", "é", "\\\"", "\\u202e", "\\\\"] {
            let long = fill.repeat(9_000);
            let line =
                format!("{{\"level\":\"WARN\",\"message\":\"{long}\",\"n\":1,\"why\":\"{long}\"}}\n");
            let cut = bounded(&line, true);
            assert!(cut.len() <= MAX && cut.ends_with("}\n"), "{}", cut.len());
            let told: Value = serde_json::from_str(&cut).unwrap();
            assert_eq!((&told["level"], &told["n"]), (&"WARN".into(), &1.into()));
            assert!(told["why"].as_str().unwrap().ends_with("bytes more)"), "{told}");
        }
    }
}
