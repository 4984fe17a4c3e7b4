//! Kafka's protocol by hand: records with any bytes, as client libraries neither send nor show them.

use crate::kafka::Broker;
use std::io::{Read, Write};
use std::net::TcpStream;

const PRODUCE: (i16, i16) = (0, 3);
const FETCH: (i16, i16) = (1, 4);
const MOST: i32 = 64 << 20;

/// A record as the broker has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values, which may be none.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch, or whatever its producer took for it.
    pub timestamp: i64,
}

impl Raw {
    /// The value of a header, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name.as_bytes())?;
        std::str::from_utf8(value.as_deref()?).ok()
    }
}

impl Broker {
    /// Produces one record into a partition; the broker's error, 0 for none.
    ///
    /// # Panics
    /// When the broker does not answer.
    #[must_use]
    pub fn produce_raw(&self, topic: &str, partition: i32, record: &Raw) -> i16 {
        let mut ask = Vec::new();
        ask.extend((-1i16).to_be_bytes());
        ask.extend((-1i16).to_be_bytes());
        ask.extend(30_000i32.to_be_bytes());
        one_partition(&mut ask, topic, partition);
        let batch = batch(record);
        ask.extend(length(batch.len()).to_be_bytes());
        ask.extend(batch);
        let answer = self.exchange(PRODUCE, &ask);
        let mut answer = Reader(&answer);
        answer.skip_to_partition();
        answer.i16()
    }

    /// Every record of a partition, from an offset on.
    ///
    /// # Panics
    /// When the broker does not give them, or has compressed them.
    #[must_use]
    pub fn records_raw(&self, topic: &str, partition: i32, from: i64) -> Vec<Raw> {
        let (mut records, mut next) = (Vec::new(), from);
        loop {
            let mut ask = Vec::new();
            for number in [-1, 1_000, 1, MOST] {
                ask.extend(i32::to_be_bytes(number));
            }
            ask.push(0);
            one_partition(&mut ask, topic, partition);
            ask.extend(next.to_be_bytes());
            ask.extend(MOST.to_be_bytes());
            let answer = self.exchange(FETCH, &ask);
            let mut answer = Reader(&answer);
            answer.i32();
            answer.skip_to_partition();
            assert_eq!(answer.i16(), 0, "{topic}/{partition} can be read");
            let end = answer.i64();
            answer.i64();
            assert!(answer.i32() <= 0, "no transaction was aborted");
            let size = answer.i32();
            let mut batches = Reader(answer.take(usize::try_from(size).unwrap_or(0)));
            while let Some(offset) = batches.batch(&mut records, next) {
                next = offset;
            }
            if next >= end {
                return records;
            }
        }
    }

    pub(crate) fn exchange(&self, (key, version): (i16, i16), ask: &[u8]) -> Vec<u8> {
        let mut request = Vec::new();
        request.extend(key.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(7i32.to_be_bytes());
        text(&mut request, "tests");
        request.extend(ask);
        let mut stream = TcpStream::connect(&self.address).expect("the broker listens");
        stream.write_all(&length(request.len()).to_be_bytes()).expect("it is sent");
        stream.write_all(&request).expect("it is sent");
        let mut size = [0; 4];
        stream.read_exact(&mut size).expect("the broker answers");
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a length")];
        stream.read_exact(&mut answer).expect("the broker answers");
        answer.split_off(4)
    }
}

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("it is short")
}

pub(crate) fn text(to: &mut Vec<u8>, text: &str) {
    to.extend(i16::try_from(text.len()).expect("it is short").to_be_bytes());
    to.extend(text.as_bytes());
}

fn one_partition(to: &mut Vec<u8>, topic: &str, partition: i32) {
    to.extend(1i32.to_be_bytes());
    text(to, topic);
    to.extend(1i32.to_be_bytes());
    to.extend(partition.to_be_bytes());
}

/// A record batch of the second format, with one record.
fn batch(record: &Raw) -> Vec<u8> {
    // Its attributes, and how far its time and offset are from the batch's.
    let mut fields = vec![0, 0, 0];
    for part in [&record.key, &record.value] {
        nullable(&mut fields, part.as_deref());
    }
    varint(&mut fields, i64::from(length(record.headers.len())));
    for (name, value) in &record.headers {
        nullable(&mut fields, Some(name));
        nullable(&mut fields, value.as_deref());
    }
    let mut checked = Vec::new();
    checked.extend(0i16.to_be_bytes());
    checked.extend(0i32.to_be_bytes());
    checked.extend(record.timestamp.to_be_bytes());
    checked.extend(record.timestamp.to_be_bytes());
    checked.extend((-1i64).to_be_bytes());
    checked.extend((-1i16).to_be_bytes());
    checked.extend((-1i32).to_be_bytes());
    checked.extend(1i32.to_be_bytes());
    varint(&mut checked, i64::from(length(fields.len())));
    checked.extend(fields);
    let mut batch = Vec::new();
    batch.extend(0i64.to_be_bytes());
    batch.extend(length(checked.len() + 9).to_be_bytes());
    batch.extend((-1i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

fn nullable(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(to, bytes.map_or(-1, |bytes| i64::from(length(bytes.len()))));
    to.extend(bytes.unwrap_or_default());
}

fn varint(to: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    loop {
        let low = u8::try_from(left & 0x7f).expect("seven bits");
        left >>= 7;
        if left == 0 {
            return to.push(low);
        }
        to.push(low | 0x80);
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|start| (0..8).fold(start, |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))))
        .collect();
    let step = |crc: u32, byte: &u8| table[(crc ^ u32::from(*byte)) as usize & 0xff] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

/// What is left of an answer.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("so many bytes")
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.array())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.array())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.array())
    }

    fn varint(&mut self) -> i64 {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let [byte] = self.array();
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
            }
        }
    }

    fn nullable(&mut self) -> Option<Vec<u8>> {
        let size = usize::try_from(self.varint()).ok()?;
        Some(self.take(size).to_vec())
    }

    /// Of an answer about one partition of one topic: up to its error.
    fn skip_to_partition(&mut self) {
        assert_eq!(self.i32(), 1, "one topic");
        let name = self.i16();
        self.take(usize::try_from(name).expect("a length"));
        assert_eq!(self.i32(), 1, "one partition");
        self.i32();
    }

    /// Reads a batch, and keeps its records from an offset on; the next offset, or none when there is no
    /// other whole batch.
    fn batch(&mut self, records: &mut Vec<Raw>, from: i64) -> Option<i64> {
        let size = i32::from_be_bytes(self.0.get(8..12)?.try_into().expect("four bytes"));
        let size = usize::try_from(size).expect("a length") + 12;
        if self.0.len() < size {
            return None;
        }
        let mut batch = Reader(self.take(size));
        let base = batch.i64();
        batch.take(4 + 4 + 1 + 4);
        let attributes = batch.i16();
        assert_eq!(attributes & 7, 0, "it is not compressed");
        let last = i64::from(batch.i32());
        let first_timestamp = batch.i64();
        batch.take(8 + 8 + 2 + 4);
        for _ in 0..batch.i32() {
            batch.varint();
            batch.take(1);
            let timestamp = first_timestamp.wrapping_add(batch.varint());
            let offset = base + batch.varint();
            let (key, value) = (batch.nullable(), batch.nullable());
            let headers =
                (0..batch.varint()).map(|_| (batch.nullable().expect("a name"), batch.nullable()));
            let record = Raw { key, value, headers: headers.collect(), timestamp };
            // A mark of a transaction is no record.
            if offset >= from && attributes & 0x20 == 0 {
                records.push(record);
            }
        }
        Some(base + last + 1)
    }
}
