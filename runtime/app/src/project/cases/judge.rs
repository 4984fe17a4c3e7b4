//! Whether what came is what was wanted.

use super::read::{Case, Wanted};
use crate::harness::Line;
use std::time::Duration;

/// An outcome by its word, its reason and its delay.
pub type Got<'o> = (&'o str, Option<&'o str>, Option<u64>);

/// What is wrong with the outcome of one message.
pub fn outcome(wanted: &Wanted, (word, reason, after_ms): Got<'_>) -> Option<String> {
    let after = after_ms.map(Duration::from_millis);
    let reason_fits =
        wanted.reason.as_deref().is_none_or(|part| reason.is_some_and(|text| text.contains(part)));
    let after_fits = wanted.after.is_none() || wanted.after == after;
    if wanted.outcome == word && reason_fits && after_fits {
        return None;
    }
    let got = describe(word, after, reason);
    let wanted = describe(&wanted.outcome, wanted.after, wanted.reason.as_deref());
    Some(format!("wanted  {wanted}\ngot     {got}"))
}

fn describe(word: &str, after: Option<Duration>, reason: Option<&str>) -> String {
    let after = after.map_or(String::new(), |wait| format!(" after {wait:?}"));
    let reason = reason.map_or(String::new(), |text| format!(": {}", text.trim_end()));
    format!("{word}{after}{reason}")
}

/// What is wrong with the lines of one message.
pub fn lines_of(wanted: &Wanted, id: &str, lines: &[Line]) -> Option<String> {
    let own: Vec<&Line> = lines.iter().filter(|line| line.message_id == id).collect();
    // A batch's lines belong to no single message.
    let all: Vec<&Line> = if own.is_empty() { lines.iter().collect() } else { own };
    absent(&wanted.logs, &all)
}

/// What is wrong with the lines of a whole case, and with what it took.
pub fn whole(case: &Case, lines: &[Line], took: Duration) -> Vec<String> {
    let all: Vec<&Line> = lines.iter().collect();
    let present = case.no_logs.iter().find(|text| all.iter().any(|line| line.text.contains(text.as_str())));
    let slow = case.within.filter(|within| took > *within);
    absent(&case.logs, &all)
        .into_iter()
        .chain(present.map(|text| format!("wanted  no line with \"{text}\"\ngot     one")))
        .chain(slow.map(|within| format!("wanted  to end within {within:?}\ngot     {took:.1?}")))
        .collect()
}

fn absent(wanted: &[String], lines: &[&Line]) -> Option<String> {
    let text = wanted.iter().find(|text| !lines.iter().any(|line| line.text.contains(text.as_str())))?;
    let count = lines.len();
    Some(format!("wanted  a line with \"{text}\"\ngot     {count} lines without it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(outcome: &str, reason: Option<&str>, after: Option<u64>) -> Wanted {
        Wanted {
            outcome: outcome.to_owned(),
            reason: reason.map(str::to_owned),
            after: after.map(Duration::from_millis),
            logs: Vec::new(),
            decoded: false,
        }
    }

    #[test]
    fn a_reason_fits_by_a_part_and_a_wait_as_a_whole() {
        let got = ("retry", Some("the gateway is down"), Some(50));
        assert_eq!(outcome(&wanted("retry", Some("gateway"), Some(50)), got), None);
        assert_eq!(outcome(&wanted("retry", None, None), got), None);
        for other in
            [wanted("ok", None, None), wanted("retry", Some("disk"), None), wanted("retry", None, Some(51))]
        {
            let text = outcome(&other, got).expect("differs");
            assert!(text.contains("got     retry after 50ms: the gateway is down"), "{text}");
        }
    }
}
