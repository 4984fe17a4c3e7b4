//! Numbers within ids.

use std::str::FromStr;

/// A number of an id, as it is written when an id is made of it: digits, without a sign and without zeros
/// before them. What is written in any other way is no number but another text: an id that somebody else
/// has given.
#[must_use]
pub fn of_an_id<T: FromStr>(text: &str) -> Option<T> {
    let is_written_so = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_written_so { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::of_an_id;

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
}
