//! Numbers within ids, and numbers that change their type: there what does not fit becomes the largest, or
//! the smallest, that does, and never another number, as `as` would make of it.

use std::str::FromStr;
use std::time::Duration;

/// A number of an id, as it is written when an id is made of it: digits, without a sign and without zeros
/// before them. What is written in any other way is no number but another text: an id that somebody else
/// has given.
#[must_use]
pub fn of_an_id<T: FromStr>(text: &str) -> Option<T> {
    let is_written_so = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_written_so { text.parse().ok() } else { None }
}

/// A duration in whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration in whole microseconds.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in whole nanoseconds.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A number without what is behind its point; 0 for what is below zero, or is no number.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of a float `as` stops at both ends; there is no `TryFrom`"
)]
pub fn whole(number: f64) -> u64 {
    number as u64
}

/// The lowest byte.
#[must_use]
pub fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_written_in_one_way() {
        for number in [0, 1, 10, u64::MAX] {
            assert_eq!(of_an_id(&number.to_string()), Some(number));
        }
        for odd in ["", "+1", "-1", "-0", "00", "01", " 1", "1 ", "1_0", "\u{661}", "18446744073709551616"]
        {
            assert_eq!(of_an_id::<u64>(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_does_not_fit_is_the_largest_or_the_smallest() {
        assert_eq!([millis(Duration::MAX), micros(Duration::MAX), nanos(Duration::MAX)], [u64::MAX; 3]);
        let all = Duration::new(1, 2_003_999);
        assert_eq!([millis(all), micros(all), nanos(all)], [1_002, 1_002_003, 1_002_003_999]);
        let numbers = [-1.0, -0.0, 0.9, 1.0, 1e19, 1e20, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let wanted = [0, 0, 0, 1, 10_000_000_000_000_000_000, u64::MAX, u64::MAX, 0, 0];
        assert_eq!(numbers.map(whole), wanted);
    }

    #[test]
    fn the_lowest_byte_is_the_lowest() {
        assert_eq!(low_byte(0x1234), 0x34);
    }
}
