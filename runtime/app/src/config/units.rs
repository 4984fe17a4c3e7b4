//! Durations and sizes, as people write them.

use std::time::Duration;

/// The words for the reader of an error.
pub const DURATION: &str = "a duration such as \"250ms\", \"30s\", \"5m\", \"1h\" or \"14d\"";
/// The same for sizes.
pub const SIZE: &str = "a size such as \"64MiB\", \"512KiB\", \"1GiB\" or a number of bytes";

/// Parses `250ms`, `1.5s`, `5m`, `1h`, `14d`.
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
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// Parses `1024`, `512KiB`, `64MiB`, `1GiB`, `1MB`.
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
    (0.0..1e15).contains(&bytes).then_some(bytes as usize)
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
    fn durations_and_sizes() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1.5h"), Some(Duration::from_secs(5_400)));
        assert_eq!(duration("14d"), Some(Duration::from_secs(14 * 86_400)));
        assert_eq!((duration("5"), duration("s"), duration("-1s")), (None, None, None));
        assert_eq!(
            (size("64MiB"), size("1024"), size("1 MB")),
            (Some(64 << 20), Some(1024), Some(1_000_000))
        );
        assert_eq!((size("64Mi"), size(""), size("1e9GiB")), (None, None, None));
    }
}
