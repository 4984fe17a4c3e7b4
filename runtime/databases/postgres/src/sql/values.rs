//! Values of handlers on their way to the server, and what it gives on its way back.
//!
//! All results are asked for as text: the server knows its own form of every type there is, the user's own
//! among them. What has a case of its own is read from that.

use bytes::{BufMut, BytesMut};
use pelton_core::effects::SqlValue;
use tokio_postgres::types::Type;

/// Text, in the protocol's number for it.
pub(crate) const TEXT: i16 = 0;
/// A type's own binary form.
pub(crate) const BINARY: i16 = 1;

/// The type that is told to the server with a parameter; 0 leaves it to the server, which sees where the
/// parameter stands. Bytes are told, so that they are never taken for the text that they are sent as.
pub(crate) fn type_of(value: &SqlValue) -> u32 {
    match value {
        SqlValue::Bytes(_) => Type::BYTEA.oid(),
        SqlValue::Null
        | SqlValue::Boolean(_)
        | SqlValue::Integer(_)
        | SqlValue::Float(_)
        | SqlValue::Text(_) => 0,
    }
}

/// Which form a parameter is sent in.
pub(crate) fn format_of(value: &SqlValue) -> i16 {
    if matches!(value, SqlValue::Bytes(_)) { BINARY } else { TEXT }
}

/// How many bytes it is at most, about.
pub(crate) fn size_of(value: &SqlValue) -> usize {
    match value {
        SqlValue::Null | SqlValue::Boolean(_) => 1,
        SqlValue::Integer(_) | SqlValue::Float(_) => 24,
        SqlValue::Text(text) => text.len(),
        SqlValue::Bytes(bytes) => bytes.len(),
    }
}

/// Writes a parameter; false for one without a value.
pub(crate) fn write(value: &SqlValue, out: &mut BytesMut) -> bool {
    match value {
        SqlValue::Null => return false,
        SqlValue::Boolean(truth) => out.put_slice(if *truth { b"true" } else { b"false" }),
        SqlValue::Integer(number) => out.put_slice(number.to_string().as_bytes()),
        SqlValue::Float(number) => write_float(*number, out),
        SqlValue::Text(text) => out.put_slice(text.as_bytes()),
        SqlValue::Bytes(bytes) => out.put_slice(bytes),
    }
    true
}

/// The shortest text that is this very number. Very large and small ones with an exponent, which would have
/// 300 digits else.
fn write_float(number: f64, out: &mut BytesMut) {
    let size = number.abs();
    if number.is_infinite() {
        out.put_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if number.is_nan() {
        out.put_slice(b"NaN");
    } else if size != 0.0 && !(1e-5..1e17).contains(&size) {
        out.put_slice(format!("{number:e}").as_bytes());
    } else {
        out.put_slice(number.to_string().as_bytes());
    }
}

/// A value as the server has sent it, of the type with this number.
///
/// # Errors
/// It is not in the form that its type has.
pub(crate) fn read(type_oid: u32, bytes: &[u8]) -> Result<SqlValue, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned())?;
    let unclear = || format!("{text:?} of type {type_oid}");
    let Some(known) = Type::from_oid(type_oid) else { return Ok(SqlValue::Text(text.to_owned())) };
    Ok(match known {
        Type::BOOL => SqlValue::Boolean(text == "t"),
        Type::INT2 | Type::INT4 | Type::INT8 => SqlValue::Integer(text.parse().map_err(|_| unclear())?),
        Type::FLOAT4 | Type::FLOAT8 => SqlValue::Float(text.parse().map_err(|_| unclear())?),
        Type::BYTEA => SqlValue::Bytes(read_bytes(text).ok_or_else(unclear)?),
        _ => SqlValue::Text(text.to_owned()),
    })
}

/// Bytes in either of the forms that `bytea_output` knows.
fn read_bytes(text: &str) -> Option<Vec<u8>> {
    let Some(hex) = text.strip_prefix("\\x") else { return read_escaped(text.as_bytes()) };
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn read_escaped(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let (byte, length) = match (first, after) {
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [a, b, c, ..]) => {
                let number = [*a, *b, *c];
                (u8::from_str_radix(std::str::from_utf8(&number).ok()?, 8).ok()?, 4)
            }
            (b'\\', _) => return None,
            (byte, _) => (*byte, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &SqlValue) -> String {
        let mut out = BytesMut::new();
        assert!(write(value, &mut out));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_written_so_that_they_are_read_as_the_same() {
        for number in [0.0, -0.0, 1.0, -1.5, 0.1, 1e16, 1e17, 1e300, 5e-324, f64::MAX, 1e-5, 0.000_009] {
            let text = written(&SqlValue::Float(number));
            assert!(text.len() < 26, "{text}");
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
        }
        assert_eq!(written(&SqlValue::Float(f64::INFINITY)), "Infinity");
        assert_eq!(written(&SqlValue::Float(f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(written(&SqlValue::Float(f64::NAN)), "NaN");
        assert_eq!(written(&SqlValue::Integer(i64::MIN)), "-9223372036854775808");
        assert_eq!(written(&SqlValue::Float(3.0)), "3");
    }

    #[test]
    fn only_bytes_have_a_type_and_a_form_of_their_own() {
        assert_eq!(type_of(&SqlValue::Bytes(vec![0])), 17);
        assert_eq!(format_of(&SqlValue::Bytes(vec![0])), BINARY);
        for value in [SqlValue::Null, SqlValue::Boolean(true), SqlValue::Text("x".into())] {
            assert_eq!((type_of(&value), format_of(&value)), (0, TEXT));
        }
        assert!(!write(&SqlValue::Null, &mut BytesMut::new()));
    }

    #[test]
    fn what_has_a_case_is_read_as_such() {
        let read = |kind: Type, text: &str| read(kind.oid(), text.as_bytes()).unwrap();
        assert_eq!(read(Type::BOOL, "t"), SqlValue::Boolean(true));
        assert_eq!(read(Type::BOOL, "f"), SqlValue::Boolean(false));
        assert_eq!(read(Type::INT2, "-32768"), SqlValue::Integer(-32768));
        assert_eq!(read(Type::FLOAT4, "1.1"), SqlValue::Float(1.1));
        assert_eq!(read(Type::FLOAT8, "-Infinity"), SqlValue::Float(f64::NEG_INFINITY));
        assert!(matches!(read(Type::FLOAT8, "NaN"), SqlValue::Float(number) if number.is_nan()));
        assert_eq!(read(Type::BYTEA, "\\x00ff10"), SqlValue::Bytes(vec![0, 255, 16]));
        assert_eq!(read(Type::BYTEA, "a\\\\b\\000\\377"), SqlValue::Bytes(b"a\\b\0\xff".to_vec()));
        assert_eq!(read(Type::NUMERIC, "12.50"), SqlValue::Text("12.50".into()));
        assert_eq!(super::read(4_000_000_000, b"sad"), Ok(SqlValue::Text("sad".into())));
    }

    #[test]
    fn what_is_not_in_its_form_is_an_error() {
        for (kind, text) in
            [(Type::INT4, "x"), (Type::BYTEA, "\\x0"), (Type::BYTEA, "\\"), (Type::BYTEA, "\\9")]
        {
            assert!(read(kind.oid(), text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(Type::TEXT.oid(), b"\xff").is_err());
    }
}
