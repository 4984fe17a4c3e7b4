//! Deduplication keys out of headers and bodies.
#![no_main]

use pelton_core::{Delivery, Header, Message, Receipt};
use pelton_engine::DedupKey;
use std::sync::Arc;

fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    bytes.iter().enumerate().for_each(|(at, byte)| out[at % 16] ^= byte.rotate_left((at % 8) as u32));
    out
}

libfuzzer_sys::fuzz_target!(|input: (String, Vec<u8>, Vec<u8>, String)| {
    let (key, body, value, id) = input;
    let Some(key) = DedupKey::parse(&key) else { return };
    let message = Message { id, headers: vec![Header::new("h", value)], body, ..Message::default() };
    let delivery = Delivery {
        receipt: Receipt(1),
        message: Arc::new(message),
        lane: None,
        position: None,
        skipped: 0,
        receives: 0,
        assignment: 0,
        lease_until: None,
        instance: None,
        unreadable: None,
    };
    let known = |()| key.known(&delivery, digest, digest);
    assert_eq!(known(()), known(()), "a key is the same every time");
    if let Ok(known) = known(()) {
        let printable = known.key.as_deref().is_none_or(|key| key.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(printable, "a key can be printed");
    }
});
