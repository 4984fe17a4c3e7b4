//! Outcomes and times in words, the same wherever a handler is tried out.

use pelton_core::{Failure, Outcome};
use std::time::Duration;

/// An outcome by its word, its reason and its delay.
pub fn told(outcome: &Outcome) -> (&'static str, Option<&str>, Option<u64>) {
    match outcome {
        Outcome::Ok(_) => ("ok", None, None),
        Outcome::Retry { reason, after_ms } => ("retry", Some(reason), *after_ms),
        Outcome::Reject { reason } => ("reject", Some(reason), None),
        Outcome::Fault { kind, reason } => (Failure::from(*kind).as_str(), Some(reason), None),
        Outcome::Again { reason, .. } => ("again", Some(reason), None),
        Outcome::BatchFault | Outcome::NotStarted | Outcome::Interrupted => ("not-started", None, None),
    }
}

/// With three digits, in the unit that suits.
pub fn time(took: Duration) -> String {
    let us = took.as_secs_f64() * 1e6;
    let (value, unit) = match us {
        ..1e3 => (us, "us"),
        ..1e6 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    match value {
        ..10.0 => format!("{value:.2} {unit}"),
        ..100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let told = [7.1e-6, 0.000_812, 0.0123, 1.5, 120.0].map(|s| time(Duration::from_secs_f64(s)));
        assert_eq!(told, ["7.10 us", "812 us", "12.3 ms", "1.50 s", "120 s"]);
    }
}
