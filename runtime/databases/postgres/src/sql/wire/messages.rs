//! What the server says, message by message.

use crate::sql::failure::ServerError;
use bytes::{Buf, Bytes, BytesMut};
use std::io;

/// No message but a row is that long: whoever says so is no server of PostgreSQL.
const LONGEST: usize = 16 << 20;

/// A message of the server, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Authentication(i32, Bytes),
    /// What a cancel request names.
    Key(CancelKey),
    Parsed,
    /// Columns, each with the number of its type.
    Columns(Vec<(String, u32)>),
    /// A row; [`values`] takes it apart.
    Row(Bytes),
    /// A row of so many bytes, which is longer than anybody may have: it was not kept.
    LongRow(usize),
    /// A statement has ended, with the tag that says what it was.
    Complete(String),
    /// The rows that were asked for were given, and there are more.
    Suspended,
    Error(ServerError),
    /// The exchange is over.
    Ready(Status),
    /// The server wants to copy, which nobody has asked for.
    Copy,
    /// Of no matter here: notices, settings, acknowledgements.
    Other,
}

/// How a session stands after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is no transaction.
    Idle,
    /// There is one.
    Open,
    /// There is one in which a statement has failed.
    Failed,
}

/// What a cancel request names a connection by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CancelKey {
    pub process: i32,
    pub secret: i32,
}

/// Cuts what arrives into messages. A row is kept up to a length; of a longer one nothing is.
pub(crate) struct Reader {
    longest_row: usize,
    /// So many bytes of a long row are still to come.
    to_skip: usize,
}

impl Reader {
    pub(crate) fn new(longest_row: usize) -> Self {
        Self { longest_row, to_skip: 0 }
    }

    /// The next message, if it has arrived whole.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> io::Result<Option<Message>> {
        let skipped = self.to_skip.min(input.len());
        input.advance(skipped);
        self.to_skip -= skipped;
        if self.to_skip > 0 || input.len() < 5 {
            return Ok(None);
        }
        let tag = input[0];
        let said = u32::from_be_bytes([input[1], input[2], input[3], input[4]]);
        let length = usize::try_from(said).map_err(io::Error::other)?;
        if length < 4 || (tag != b'D' && length > LONGEST) {
            return Err(garbled("a message of an impossible length"));
        }
        if tag == b'D' && length > self.longest_row.max(LONGEST / 16) {
            input.advance(5);
            self.to_skip = length - 4;
            return Ok(Some(Message::LongRow(length)));
        }
        if input.len() < length + 1 {
            input.reserve(length + 1 - input.len());
            return Ok(None);
        }
        let mut body = input.split_to(length + 1).freeze();
        body.advance(5);
        read(tag, body).map(Some)
    }
}

fn read(tag: u8, mut body: Bytes) -> io::Result<Message> {
    Ok(match tag {
        b'R' => Message::Authentication(body.try_get_i32()?, body),
        b'K' => Message::Key(CancelKey { process: body.try_get_i32()?, secret: body.try_get_i32()? }),
        b'1' => Message::Parsed,
        b'T' => Message::Columns(columns(body)?),
        b'D' => Message::Row(body),
        b'C' => Message::Complete(text(&mut body)?),
        b's' => Message::Suspended,
        b'E' => Message::Error(error(body)?),
        b'Z' => Message::Ready(match body.try_get_u8()? {
            b'I' => Status::Idle,
            b'T' => Status::Open,
            b'E' => Status::Failed,
            _ => return Err(garbled("an unknown state of the session")),
        }),
        b'G' | b'H' | b'W' => Message::Copy,
        _ => Message::Other,
    })
}

fn columns(mut body: Bytes) -> io::Result<Vec<(String, u32)>> {
    let count = body.try_get_u16()?;
    let mut columns = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = text(&mut body)?;
        // The table's number and the column's in it.
        let _table = (body.try_get_u32()?, body.try_get_u16()?);
        let type_oid = body.try_get_u32()?;
        // Size and modifier of the type, and the format, which is what was asked for.
        let _more = (body.try_get_u16()?, body.try_get_u32()?, body.try_get_u16()?);
        columns.push((name, type_oid));
    }
    Ok(columns)
}

/// The values of a row, each without one or in its bytes.
pub(crate) fn values(mut row: Bytes) -> io::Result<Vec<Option<Bytes>>> {
    let count = row.try_get_u16()?;
    (0..count)
        .map(|_| {
            let length = row.try_get_i32()?;
            let Ok(length) = usize::try_from(length) else { return Ok(None) };
            if row.len() < length {
                return Err(garbled("a row that is shorter than its values"));
            }
            Ok(Some(row.split_to(length)))
        })
        .collect()
}

fn error(mut body: Bytes) -> io::Result<ServerError> {
    let mut error = ServerError::default();
    loop {
        let field = body.try_get_u8()?;
        if field == 0 {
            return Ok(error);
        }
        let value = text(&mut body)?;
        match field {
            // The severity that is not translated.
            b'V' => error.is_fatal = matches!(&*value, "FATAL" | "PANIC"),
            b'C' => error.code = value,
            b'M' => error.message = value,
            b'D' => error.detail = Some(value),
            b'n' => error.constraint = Some(value),
            _ => {}
        }
    }
}

/// A text up to the byte 0 that ends it.
fn text(body: &mut Bytes) -> io::Result<String> {
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(|| garbled("a text without an end"))?;
    let text = body.split_to(end);
    body.advance(1);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn garbled(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    fn message(tag: u8, body: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u8(tag);
        out.put_u32(u32::try_from(body.len()).unwrap() + 4);
        out.put_slice(body);
        out
    }

    #[test]
    fn messages_are_read_though_they_arrive_byte_by_byte() {
        let error = b"SERROR\0VERROR\0C23505\0Mtaken\0Dmore\0nshop_pkey\0\0";
        let whole = [message(b'E', error), message(b'N', b"x\0"), message(b'Z', b"E")].concat();
        let (mut reader, mut input, mut found) = (Reader::new(100), BytesMut::new(), Vec::new());
        for byte in whole {
            input.put_u8(byte);
            found.extend(reader.next(&mut input).unwrap());
        }
        let error = ServerError {
            code: "23505".into(),
            message: "taken".into(),
            detail: Some("more".into()),
            constraint: Some("shop_pkey".into()),
            is_fatal: false,
        };
        assert_eq!(found, [Message::Error(error), Message::Other, Message::Ready(Status::Failed)]);
    }

    #[test]
    fn a_long_row_takes_no_memory() {
        let long = message(b'D', &vec![0; 3 << 20]);
        let (mut reader, mut input) = (Reader::new(100), BytesMut::new());
        input.extend_from_slice(&long[..10]);
        assert_eq!(reader.next(&mut input).unwrap(), Some(Message::LongRow((3 << 20) + 4)));
        for part in long[10..].chunks(1000) {
            input.extend_from_slice(part);
            assert_eq!(reader.next(&mut input).unwrap(), None);
            assert!(input.is_empty());
        }
        input.extend_from_slice(&message(b'C', b"SELECT 1\0"));
        assert_eq!(reader.next(&mut input).unwrap(), Some(Message::Complete("SELECT 1".into())));
    }

    #[test]
    fn what_is_garbled_is_an_error_and_nothing_worse() {
        for bytes in [
            message(b'Z', b"?"),
            message(b'Z', b""),
            message(b'E', b"Cno end"),
            message(b'T', b"\0\x02a\0"),
            message(b'R', b"\0"),
            BytesMut::from(&b"E\0\0\0\x03"[..]),
            BytesMut::from(&b"E\xff\xff\xff\xff"[..]),
        ] {
            assert!(Reader::new(100).next(&mut bytes.clone()).is_err(), "{bytes:?}");
        }
        assert!(values(Bytes::from_static(b"\0\x01\0\0\0\x05abc")).is_err());
        let row = values(Bytes::from_static(b"\0\x02\xff\xff\xff\xff\0\0\0\x01a")).unwrap();
        assert_eq!(row, [None, Some(Bytes::from_static(b"a"))]);
    }

    /// Whatever comes, it is read, or it is an error.
    #[test]
    fn nothing_that_a_server_may_say_is_worse_than_an_error() {
        let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let tags = b"RKA1TDCsEZGHWSNnt2I3?";
        for _ in 0..20_000 {
            let body: Vec<u8> =
                (0..next(40)).map(|_| [0, 0, 0, 1, 2, b'a', 255, 128][next(8) as usize]).collect();
            let mut input = message(tags[next(tags.len() as u64) as usize], &body);
            if next(4) == 0 {
                input[next(5) as usize] = next(256) as u8;
            }
            let mut reader = Reader::new(16);
            while let Ok(Some(read)) = reader.next(&mut input) {
                if let Message::Row(row) = read {
                    drop(values(row));
                }
            }
        }
    }
}
