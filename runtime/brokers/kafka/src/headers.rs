//! The headers of a record, as bytes.
//!
//! A name may be any bytes. The client library's Rust side takes it for UTF-8, and panics where it is not;
//! its C interface says where a name begins and not how long it is, so that one with a zero in it would be
//! cut. Both would be met by every worker that reads such a record, again and again. So they are read here.

#![allow(unsafe_code, reason = "the safe interface panics at a name that is no UTF-8, and takes none")]

use pelton_core::{Header, HeaderList};
use rdkafka::bindings::{self, rd_kafka_headers_t};
use rdkafka::message::{BorrowedMessage, Header as KafkaHeader, OwnedHeaders};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, c_char, c_int, c_void};

/// Headers of one record that the library reads. It writes more.
pub const MOST_HEADERS: usize = 100_000;

/// The library does not give out the headers of a record: there are more than it takes, or they are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// What the library (`rdkafka_header.h`) keeps right before the first byte of a header's name.
#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    serialized_size: usize,
    value_size: usize,
    name_size: usize,
    value: *const c_void,
}

/// The version whose headers have such a head: 2.12.1. With another one names end at a zero, until somebody
/// has looked: a test says so.
const KNOWN: c_int = 0x020c_01ff;

/// The headers of a record, in its order.
pub fn read(record: &BorrowedMessage<'_>) -> Result<HeaderList, Unreadable> {
    let mut all = std::ptr::null_mut();
    // SAFETY: the record is alive. The library takes its headers apart once, and keeps them as long as it.
    match unsafe { bindings::rd_kafka_message_headers(record.ptr(), &raw mut all) } {
        // SAFETY: they are the record's, which is borrowed for as long as they are read.
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(unsafe { list(all) }),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__NOENT => Ok(HeaderList::default()),
        _ => Err(Unreadable),
    }
}

/// Adds a header to those of a record that is to be sent.
pub fn add(all: OwnedHeaders, header: &Header) -> OwnedHeaders {
    let (name, value) = (header.name_bytes(), header.value());
    if let Ok(key) = std::str::from_utf8(&name) {
        return all.insert(KafkaHeader { key, value });
    }
    let there = std::ptr::from_ref(all.as_borrowed()).cast::<rd_kafka_headers_t>().cast_mut();
    let (bytes, size) = value.map_or((std::ptr::null(), 0), |value| (value.as_ptr(), value.len()));
    // SAFETY: the list is ours alone, and what it is given is copied. No slice is longer than `isize` can
    // say. Nothing is wrong with the arguments, which is all that the call can complain of.
    unsafe {
        bindings::rd_kafka_header_add(
            there,
            name.as_ptr().cast(),
            name.len().cast_signed(),
            bytes.cast(),
            size.cast_signed(),
        );
    }
    all
}

/// # Safety
/// `all` is a list of headers that nobody changes meanwhile.
unsafe fn list(all: *const rd_kafka_headers_t) -> HeaderList {
    // SAFETY: as the caller promises.
    let count = unsafe { bindings::rd_kafka_header_cnt(all) };
    let mut list = HeaderList::default();
    // SAFETY: the same.
    (0..count).for_each(|place| unsafe { add_to(&mut list, all, place) });
    list
}

/// # Safety
/// As of `list`.
unsafe fn add_to(list: &mut HeaderList, all: *const rd_kafka_headers_t, place: usize) {
    let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: as the caller promises; the library looks whether there is such a place.
    let code = unsafe {
        bindings::rd_kafka_header_get_all(all, place, &raw mut name, &raw mut value, &raw mut size)
    };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return;
    }
    // SAFETY: what the library has just told lives as long as the list. A value that is there has so many
    // bytes.
    let (name, value) = unsafe {
        let name = std::slice::from_raw_parts(name.cast(), name_size(name, value, size));
        (name, (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast(), size)))
    };
    list.push_bytes(name, value);
}

/// # Safety
/// They are what the library has told of one header.
unsafe fn name_size(name: *const c_char, value: *const c_void, value_size: usize) -> usize {
    // SAFETY: asks for a constant.
    if unsafe { bindings::rd_kafka_version() } == KNOWN {
        // SAFETY: of this version, the name stands behind its head in one allocation.
        let head = unsafe { name.cast::<Head>().sub(1).read_unaligned() };
        if (head.value, head.value_size) == (value, value_size) {
            return head.name_size;
        }
    }
    // SAFETY: every name has a zero behind it.
    unsafe { CStr::from_ptr(name) }.count_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When this fails the library is another one: see whether `Head` is still what its `rdkafka_header.h`
    /// says, and correct `KNOWN`.
    #[test]
    fn every_header_is_read_as_it_was_added() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let long = vec![0xff; 1 << 20];
        let names: [&[u8]; 8] = [b"", b"plain", b"\0", b"a\0b", b"\xff\0", b"\\xff", &every_byte, &long];
        let values: [Option<&[u8]>; 5] = [None, Some(b""), Some(b"\0"), Some(&every_byte), Some(&long)];
        let pairs = names.iter().flat_map(|name| values.map(|value| Header::of_bytes(name, value)));
        let headers: Vec<Header> = pairs.collect();
        let added = headers.iter().fold(OwnedHeaders::new(), add);
        let all = std::ptr::from_ref(added.as_borrowed()).cast();
        // SAFETY: nobody changes it any more.
        let read = unsafe { list(all) }.view().to_vec();
        assert!(read == headers, "names or values are not what they were");
        for (header, name) in read.iter().zip(names.iter().flat_map(|name| [name; 5])) {
            assert_eq!(*header.name_bytes(), **name);
        }
    }
}
