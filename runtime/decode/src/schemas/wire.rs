//! What stands before a message's own bytes and says which schema they have.
//!
//! Confluent's forms: a zero and a number (version 0), or a one and a GUID (version 1), before the body or
//! in a header. AWS Glue's: a three, how the rest is compressed, and a UUID.

use super::Wire;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use pelton_core::message::Headers;
use std::borrow::Cow;
use std::fmt;

/// The header of Confluent's clients that has the schema of the value.
const VALUE_SCHEMA: &str = "__value_schema_id";
const GLUE_VERSION: u8 = 3;
const GLUE_PLAIN: u8 = 0;
const GLUE_ZLIB: u8 = 5;
/// How deep messages of Protobuf are declared inside of each other, at most.
const MAX_INDEXES: i64 = 32;

/// How a message names its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SchemaRef {
    /// Its number in the registry.
    Id(u32),
    /// The same wherever it is registered.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Guid(guid) => {
                for (place, byte) in guid.iter().enumerate() {
                    let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// A body without what stands before it.
pub(super) struct Framed<'b> {
    /// None where nothing names one.
    pub(super) schema: Option<SchemaRef>,
    /// What follows the schema's name in a header: Protobuf says there which message it is.
    pub(super) of_header: Option<&'b [u8]>,
    pub(super) payload: Cow<'b, [u8]>,
}

/// Takes a body apart. The error says what is missing.
pub(super) fn open<'b>(
    wire: Wire,
    headers: Headers<'b>,
    body: &'b [u8],
    most: usize,
) -> Result<Framed<'b>, String> {
    match wire {
        Wire::None => Ok(Framed { schema: None, of_header: None, payload: body.into() }),
        Wire::Confluent => {
            if let Some(header) = headers.find(VALUE_SCHEMA) {
                let (schema, rest) = name(header.value)
                    .ok_or_else(|| format!("the header {VALUE_SCHEMA} has no schema id in it"))?;
                return Ok(Framed { schema: Some(schema), of_header: Some(rest), payload: body.into() });
            }
            let (schema, payload) = name(body).ok_or_else(|| no_id(body))?;
            Ok(Framed { schema: Some(schema), of_header: None, payload: payload.into() })
        }
        Wire::Glue => glue(body, most),
    }
}

/// A schema's name at the start of bytes, and what follows.
fn name(bytes: &[u8]) -> Option<(SchemaRef, &[u8])> {
    match bytes.split_first()? {
        (0, rest) => {
            let (id, rest) = rest.split_first_chunk::<4>()?;
            Some((SchemaRef::Id(u32::from_be_bytes(*id)), rest))
        }
        (1, rest) => rest.split_first_chunk::<16>().map(|(guid, rest)| (SchemaRef::Guid(*guid), rest)),
        _ => None,
    }
}

fn no_id(body: &[u8]) -> String {
    match body.first() {
        None => "it is empty, and has no schema id".to_owned(),
        Some(0 | 1) => "it ends within its schema id".to_owned(),
        Some(other) => {
            format!("it has no schema id: it begins with the byte 0x{other:02x}, not with 0x00 or 0x01")
        }
    }
}

fn glue(body: &[u8], most: usize) -> Result<Framed<'_>, String> {
    let parts = body.split_first_chunk::<18>().filter(|(head, _)| head[0] == GLUE_VERSION);
    let Some((head, rest)) = parts else {
        return Err("it has no header of AWS Glue: 18 bytes, of which the first is 0x03".to_owned());
    };
    let payload = match head[1] {
        GLUE_PLAIN => Cow::Borrowed(rest),
        GLUE_ZLIB => {
            let unpacked = decompress_to_vec_zlib_with_limit(rest, most);
            unpacked
                .map_err(|error| {
                    format!("it cannot be decompressed to {most} bytes or less: {}", error.status.words())
                })?
                .into()
        }
        other => return Err(format!("its header of AWS Glue has the unknown compression 0x{other:02x}")),
    };
    Ok(Framed { schema: None, of_header: None, payload })
}

trait Words {
    fn words(self) -> &'static str;
}

impl Words for miniz_oxide::inflate::TINFLStatus {
    fn words(self) -> &'static str {
        match self {
            Self::HasMoreOutput => "it is larger",
            Self::Adler32Mismatch => "its checksum is wrong",
            Self::NeedsMoreInput | Self::FailedCannotMakeProgress => "it ends early",
            _ => "it is no zlib stream",
        }
    }
}

/// Which message of a .proto file it is: places of declarations, from the outermost. A single zero byte is
/// the short form of the first message. What follows are the message's bytes.
pub(super) fn message_indexes(bytes: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (count, mut rest) = zigzag(bytes)?;
    if count == 0 {
        return Some((vec![0], rest));
    }
    if !(1..=MAX_INDEXES).contains(&count) {
        return None;
    }
    let mut indexes = Vec::new();
    for _ in 0..count {
        let index;
        (index, rest) = zigzag(rest)?;
        indexes.push(usize::try_from(index).ok()?);
    }
    Some((indexes, rest))
}

/// A number in as many bytes as it needs, as Avro has it too.
pub(super) fn zigzag(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut raw = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(place).ok()?;
        // The tenth byte has one bit of a number of 64.
        if shift == 63 && part > 1 {
            return None;
        }
        raw |= part << shift;
        if byte & 0x80 == 0 {
            let magnitude = i64::try_from(raw >> 1).ok()?;
            let value = if raw & 1 == 0 { magnitude } else { !magnitude };
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::header::Header;
    use pelton_core::message::HeaderList;

    fn open(wire: Wire, headers: Headers<'_>, body: &[u8]) -> Result<(Option<SchemaRef>, Vec<u8>), String> {
        super::open(wire, headers, body, 1_000).map(|framed| (framed.schema, framed.payload.into_owned()))
    }

    #[test]
    fn confluents_forms_are_read() {
        let none = Headers::default();
        let body = [&[0, 0, 0, 1, 7][..], b"x"].concat();
        assert_eq!(open(Wire::Confluent, none, &body), Ok((Some(SchemaRef::Id(263)), b"x".to_vec())));
        let guid: [u8; 16] = std::array::from_fn(|n| u8::try_from(n).unwrap());
        let of_guid = [&[1][..], &guid, b"x"].concat();
        assert_eq!(open(Wire::Confluent, none, &of_guid), Ok((Some(SchemaRef::Guid(guid)), b"x".to_vec())));
        let header = Header::of_bytes(VALUE_SCHEMA.as_bytes(), Some(&of_guid[..17]));
        let headers: HeaderList = [header].iter().collect();
        assert_eq!(
            open(Wire::Confluent, headers.view(), b"\0y"),
            Ok((Some(SchemaRef::Guid(guid)), b"\0y".to_vec()))
        );
        assert_eq!(SchemaRef::Guid(guid).to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn what_has_no_schema_id_says_so() {
        for (body, words) in [
            (&b""[..], "is empty"),
            (b"{}", "begins with the byte 0x7b"),
            (&[0, 0, 0], "ends within"),
            (&[1; 16], "ends within"),
        ] {
            let why = open(Wire::Confluent, Headers::default(), body).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let headers: HeaderList = [Header::new(VALUE_SCHEMA, "")].iter().collect();
        assert!(
            open(Wire::Confluent, headers.view(), &[0, 0, 0, 0, 1]).unwrap_err().contains(VALUE_SCHEMA)
        );
    }

    #[test]
    fn glues_header_goes_and_a_bomb_stays_small() {
        let head = |compression| [&[3, compression][..], &[9; 16]].concat();
        let none = Headers::default();
        assert_eq!(open(Wire::Glue, none, &[head(0), b"x".to_vec()].concat()), Ok((None, b"x".to_vec())));
        let packed = |bytes: &[u8]| miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9);
        let small = [head(5), packed(b"hello")].concat();
        assert_eq!(open(Wire::Glue, none, &small), Ok((None, b"hello".to_vec())));
        let bomb = [head(5), packed(&vec![0; 10_000_000])].concat();
        assert!(bomb.len() < 20_000);
        assert!(open(Wire::Glue, none, &bomb).unwrap_err().contains("it is larger"));
        for bad in [head(5), head(4), vec![3; 17], [head(5), b"junk".to_vec()].concat()] {
            assert!(open(Wire::Glue, none, &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn both_forms_of_the_first_message_are_read() {
        assert_eq!(message_indexes(&[0, 9]), Some((vec![0], &[9][..])));
        assert_eq!(message_indexes(&[2, 0, 9]), Some((vec![0], &[9][..])));
        assert_eq!(message_indexes(&[4, 2, 0]), Some((vec![1, 0], &[][..])));
        for bad in [&[][..], &[1], &[2], &[2, 1], &[254, 255, 255, 255, 15], &[0x80; 20]] {
            assert_eq!(message_indexes(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_have_at_most_ten_bytes() {
        assert_eq!(zigzag(&[3, 7]), Some((-2, &[7][..])));
        let max = [254, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(zigzag(&max), Some((i64::MAX, &[][..])));
        let min = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(zigzag(&min), Some((i64::MIN, &[][..])));
        assert_eq!(zigzag(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 2]), None);
    }
}
