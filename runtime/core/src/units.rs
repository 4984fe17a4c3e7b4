//! Durations and sizes, as people write them: in a configuration and on a command line.

use crate::number::{millis, whole};
use std::time::Duration;

/// The words for the reader of an error.
pub const DURATION: &str =
    "a duration such as \"250ms\", \"30s\", \"5m\", \"1h\" or \"14d\", of 36500d at most";
/// The longest duration that can be written: a hundred years. Whatever is added to it, a clock can say.
pub const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);
/// The same for sizes.
pub const SIZE: &str = "a size such as \"64MiB\", \"512KiB\", \"1GiB\" or a number of bytes";

/// The same for rates.
pub const RATE: &str =
    "a rate such as \"500/s\", \"30/m\" or \"100/h\", of 1000000/s at most and 1/h at least";

/// Parses `500/s`, `30/m`, `100/h`: so many a second.
#[must_use]
pub fn rate(text: &str) -> Option<f64> {
    let (number, unit) = text.trim().split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let number: f64 = split(number).filter(|(_, rest)| rest.is_empty())?.0;
    Some(number / seconds).filter(|rate| (1.0 / 3_600.0..=1e6).contains(rate))
}

/// Parses `250ms`, `1.5s`, `5m`, `1h`, `14d`; none that is longer than `LONGEST`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok().filter(|duration| *duration <= LONGEST)
}

/// A duration as it may be written, to the millisecond: in the largest unit that says it whole.
#[must_use]
pub fn written(duration: Duration) -> String {
    let ms = millis(duration);
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.into_iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

/// Parses `1024`, `512KiB`, `64MiB`, `1GiB`, `1MB`.
#[must_use]
pub fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let factor: f64 = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    };
    let bytes = number * factor;
    (0.0..1e15).contains(&bytes).then(|| usize::try_from(whole(bytes)).ok()).flatten()
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_a_second_a_minute_or_an_hour() {
        let rates = ["500/s", "0.5/s", "30/m", "3600/h", " 1 / s ", "1/h", "1000000/s"];
        assert_eq!(rates.map(rate), [500.0, 0.5, 0.5, 1.0, 1.0, 1.0 / 3_600.0, 1e6].map(Some));
        let odd =
            ["", "5", "/s", "5/d", "5s", "0/s", "-5/s", "1e9/s", "NaN/s", "inf/s", "1000001/s", "0.5/h"];
        assert_eq!(odd.map(rate), [None; 12]);
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1.5h"), Some(Duration::from_secs(5_400)));
        assert_eq!(duration("14d"), Some(Duration::from_secs(14 * 86_400)));
        for text in ["36500d", "7d", "25h", "90m", "61s", "1500ms", "0ms"] {
            assert_eq!(duration(text).map(written).as_deref(), Some(text));
        }
        assert_eq!(duration("36500d"), Some(LONGEST));
        let long = "9".repeat(400);
        let too_long = [
            "36501d",
            "300000000000d",
            "18446744073709551615ms",
            "9223372036854775807s",
            &format!("{long}d"),
        ];
        assert_eq!(too_long.map(duration), [None; 5]);
        let odd = [
            "", "d", ".", ".d", "1.2.3s", "-1d", "+1d", "1e9d", "infd", "NaNs", "1 d d", "\u{661}d", "0x1d",
        ];
        assert_eq!(odd.map(duration), [None; 13]);
        assert_eq!((duration("0s"), duration("0.4ms"), duration(" 1 s ")).0, Some(Duration::ZERO));
        assert_eq!((duration("5"), duration("s"), duration("-1s")), (None, None, None));
        assert_eq!(
            (size("64MiB"), size("1024"), size("1 MB")),
            (Some(64 << 20), Some(1024), Some(1_000_000))
        );
        assert_eq!((size("64Mi"), size(""), size("1e9GiB")), (None, None, None));
    }
}
