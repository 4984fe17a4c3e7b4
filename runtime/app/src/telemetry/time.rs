//! Times, as everybody reads them.

use pelton_store::{SystemClock, WallClock};

/// Milliseconds since the epoch, to be shown.
pub fn now_ms() -> u64 {
    SystemClock.now_ms()
}

/// Milliseconds since the epoch as RFC 3339, in UTC.
pub fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms} ms after the epoch"), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn utc_with_milliseconds() {
        assert_eq!(super::rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
