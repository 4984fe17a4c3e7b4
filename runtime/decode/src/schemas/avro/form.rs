//! Values as JSON: what logical types mean.

use super::types::Form;
use crate::schemas::out::Out;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

const DAY: i64 = 86_400;
/// Bytes of a decimal: more than 300 digits. To write more takes time with the square of them.
const MAX_DECIMAL: usize = 128;
/// Places of a decimal with a scale of its own, before or behind the point.
const MAX_SCALE: i64 = 1_000;

/// A whole number as what it means. The error goes on where its place stops.
pub(super) fn integer(form: Form, value: i64, out: &mut Out) -> Result<(), String> {
    let text = match form {
        Form::Number => return put(out, format_args!("{value}")),
        Form::Date => date(value),
        Form::Time(parts) => {
            let parts = i64::try_from(parts).unwrap_or(i64::MAX);
            if !(0..DAY.saturating_mul(parts)).contains(&value) {
                return Err(format!("{value} is no time of a day"));
            }
            time(value, parts)
        }
        Form::Timestamp(parts, utc) => {
            let parts = i64::try_from(parts).unwrap_or(i64::MAX);
            let day = DAY.saturating_mul(parts);
            let zone = if utc { "Z" } else { "" };
            format!("{}T{}{zone}", date(value.div_euclid(day)), time(value.rem_euclid(day), parts))
        }
        Form::Text | Form::Base64 | Form::Decimal(_) | Form::BigDecimal | Form::Duration | Form::Uuid => {
            return Err("is a number".to_owned());
        }
    };
    out.quoted(&text);
    Ok(())
}

/// Bytes as what they mean. The error goes on where their place stops.
pub(super) fn bytes(form: Form, bytes: &[u8], out: &mut Out) -> Result<(), String> {
    match form {
        Form::Text => out.text(std::str::from_utf8(bytes).map_err(|_| "is no UTF-8 text")?),
        Form::Decimal(scale) => {
            let scale = i64::try_from(scale).ok().filter(|scale| *scale <= MAX_SCALE);
            out.quoted(&decimal(bytes, scale.ok_or("is a decimal of too large a scale")?)?);
        }
        Form::BigDecimal => {
            let (digits, scale) = big(bytes).ok_or("is no big decimal")?;
            if !(-MAX_SCALE..=MAX_SCALE).contains(&scale) {
                return Err(format!("is a decimal of the scale {scale}, and {MAX_SCALE} is the most"));
            }
            out.quoted(&decimal(digits, scale)?);
        }
        Form::Duration => {
            let part =
                |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
            let parts = (part(0), part(4), part(8), bytes.len());
            let (Some(months), Some(days), Some(ms), 12) = parts else {
                return Err("is no duration, which has 12 bytes".to_owned());
            };
            put(out, format_args!("{{\"months\":{months},\"days\":{days},\"milliseconds\":{ms}}}"))?;
        }
        Form::Uuid => out.quoted(&uuid(bytes).ok_or("is no UUID")?),
        Form::Number | Form::Base64 | Form::Date | Form::Time(_) | Form::Timestamp(..) => {
            if out.wanted() {
                out.quoted(&STANDARD.encode(bytes));
            }
        }
    }
    Ok(())
}

/// A number with a fraction. JSON has no word for the three that are none.
pub(super) fn float(value: f64, single: Option<f32>, out: &mut Out) {
    if value.is_nan() {
        out.quoted("NaN");
    } else if value.is_infinite() {
        out.quoted(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else if out.wanted() {
        let written = match single {
            Some(single) => serde_json::to_writer(&mut *out, &single),
            None => serde_json::to_writer(&mut *out, &value),
        };
        debug_assert!(written.is_ok(), "a number can be written");
    }
}

/// The strings that stand for numbers that JSON has not.
pub(super) fn is_special(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

fn put(out: &mut Out, text: std::fmt::Arguments<'_>) -> Result<(), String> {
    if out.wanted() { out.write_fmt(text).map_err(|error| error.to_string()) } else { Ok(()) }
}

/// The day after so many days from 1970 on, in the calendar that counts on in both directions.
fn date(days: i64) -> String {
    // Eras of 400 years, which begin on the first of March.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9_999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+07}-{month:02}-{day:02}")
    }
}

fn time(value: i64, parts: i64) -> String {
    let (seconds, rest) = (value / parts, value % parts);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let width = match parts {
        1_000 => 3,
        1_000_000 => 6,
        _ => 9,
    };
    format!("{hour:02}:{minute:02}:{second:02}.{rest:0width$}")
}

/// A number of any size in two's complement, the first byte the highest, with a point before its last digits.
fn decimal(bytes: &[u8], scale: i64) -> Result<String, String> {
    if bytes.len() > MAX_DECIMAL {
        return Err(format!("is a decimal of {} bytes, and {MAX_DECIMAL} is the most", bytes.len()));
    }
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let digits = digits(magnitude(bytes, negative));
    let sign = if negative { "-" } else { "" };
    let Ok(scale) = usize::try_from(scale) else {
        let zeros = usize::try_from(scale.unsigned_abs()).unwrap_or(0);
        return Ok(if digits == "0" { digits } else { format!("{sign}{digits}{}", "0".repeat(zeros)) });
    };
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let point = if scale == 0 { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}

/// Without its sign.
fn magnitude(bytes: &[u8], negative: bool) -> Vec<u8> {
    if !negative {
        return bytes.to_vec();
    }
    let mut carry = true;
    let mut turned: Vec<u8> = bytes
        .iter()
        .rev()
        .map(|byte| {
            let (sum, over) = (!byte).overflowing_add(u8::from(carry));
            carry = over;
            sum
        })
        .collect();
    // The lowest number has a bit more without its sign.
    turned.extend(carry.then_some(1));
    turned.reverse();
    turned
}

/// In the tens system.
fn digits(mut bytes: Vec<u8>) -> String {
    let mut digits = Vec::new();
    while bytes.iter().any(|byte| *byte != 0) {
        let mut rest = 0u32;
        for byte in &mut bytes {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 100).unwrap_or(u8::MAX);
            rest = value % 100;
        }
        digits.push(char::from_digit(rest % 10, 10).unwrap_or('0'));
        digits.push(char::from_digit(rest / 10, 10).unwrap_or('0'));
    }
    while digits.last() == Some(&'0') {
        digits.pop();
    }
    if digits.is_empty() { "0".to_owned() } else { digits.into_iter().rev().collect() }
}

/// A decimal that has its scale behind it.
fn big(bytes: &[u8]) -> Option<(&[u8], i64)> {
    let (length, rest) = crate::schemas::wire::zigzag(bytes)?;
    let (digits, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let (scale, _) = crate::schemas::wire::zigzag(rest)?;
    Some((digits, scale))
}

/// 16 bytes, or the text of 36 letters.
fn uuid(bytes: &[u8]) -> Option<String> {
    if let Ok(raw) = <[u8; 16]>::try_from(bytes) {
        return Some(crate::schemas::wire::SchemaRef::Guid(raw).to_string());
    }
    let fits = |(place, byte): (usize, &u8)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    let fits = bytes.len() == 36 && bytes.iter().enumerate().all(fits);
    fits.then(|| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_integer(form: Form, value: i64) -> Result<String, String> {
        let mut out = Out::new(1_000, true);
        integer(form, value, &mut out)?;
        Ok(String::from_utf8(out.into_bytes()).unwrap())
    }

    fn of_bytes(form: Form, value: &[u8]) -> Result<String, String> {
        let mut out = Out::new(1_000, true);
        bytes(form, value, &mut out)?;
        Ok(String::from_utf8(out.into_bytes()).unwrap())
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        let cases = [
            (Form::Date, 0, "\"1970-01-01\""),
            (Form::Date, 20_788, "\"2026-12-01\""),
            (Form::Date, 11_016, "\"2000-02-29\""),
            (Form::Date, -719_529, "\"-000001-12-31\""),
            (Form::Date, 2_932_897, "\"+010000-01-01\""),
            (Form::Time(1_000), 86_399_999, "\"23:59:59.999\""),
            (Form::Timestamp(1_000, true), -1, "\"1969-12-31T23:59:59.999Z\""),
            (Form::Timestamp(1_000_000, true), 1_796_083_200_000_001, "\"2026-12-01T00:00:00.000001Z\""),
            (Form::Timestamp(1_000_000_000, false), 1, "\"1970-01-01T00:00:00.000000001\""),
        ];
        for (form, value, text) in cases {
            assert_eq!(of_integer(form, value).as_deref(), Ok(text));
        }
        assert!(of_integer(Form::Time(1_000), 86_400_000).is_err());
        for far in [i64::MIN, i64::MAX] {
            assert!(of_integer(Form::Date, far).is_ok());
            assert!(of_integer(Form::Timestamp(1_000, true), far).is_ok());
        }
    }

    #[test]
    fn decimals_are_exact_and_bounded() {
        let cases: [(&[u8], usize, &str); 8] = [
            (&[], 2, "\"0.00\""),
            (&[0], 0, "\"0\""),
            (&[4, 210], 2, "\"12.34\""),
            (&[251, 46], 2, "\"-12.34\""),
            (&[255], 3, "\"-0.001\""),
            (&[128], 0, "\"-128\""),
            (&[128, 0, 0, 0, 0, 0, 0, 0, 0], 0, "\"-2361183241434822606848\""),
            (&[0, 255, 255, 255, 255, 255, 255, 255, 255], 1, "\"1844674407370955161.5\""),
        ];
        for (bytes, scale, text) in cases {
            assert_eq!(of_bytes(Form::Decimal(scale), bytes).as_deref(), Ok(text));
        }
        assert!(of_bytes(Form::Decimal(0), &[1; 129]).is_err());
        assert!(of_bytes(Form::Decimal(usize::MAX), &[1]).is_err());
        assert_eq!(of_bytes(Form::BigDecimal, &[4, 4, 210, 4]).as_deref(), Ok("\"12.34\""));
        assert_eq!(of_bytes(Form::BigDecimal, &[2, 5, 3]).as_deref(), Ok("\"500\""));
        assert!(of_bytes(Form::BigDecimal, &[2, 5, 254, 255, 255, 255, 15]).is_err());
        assert!(of_bytes(Form::BigDecimal, &[200, 1]).is_err());
    }

    #[test]
    fn what_bytes_mean_is_looked_at() {
        let duration = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        let text = "{\"months\":1,\"days\":2,\"milliseconds\":3}";
        assert_eq!(of_bytes(Form::Duration, &duration).as_deref(), Ok(text));
        assert!(of_bytes(Form::Duration, &duration[..11]).is_err());
        let uuid = "\"00000000-0000-0000-0000-000000000000\"";
        assert_eq!(of_bytes(Form::Uuid, &[0; 16]).as_deref(), Ok(uuid));
        assert_eq!(of_bytes(Form::Uuid, &uuid.as_bytes()[1..37]).as_deref(), Ok(uuid));
        assert!(of_bytes(Form::Uuid, b"no uuid").is_err());
        assert!(of_bytes(Form::Text, b"\xff").is_err());
        assert_eq!(of_bytes(Form::Text, b"a\"b").as_deref(), Ok("\"a\\\"b\""));
        assert_eq!(of_bytes(Form::Base64, b"\xff\0").as_deref(), Ok("\"/wA=\""));
    }
}
