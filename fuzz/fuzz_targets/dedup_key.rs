//! Deduplication keys out of headers and bodies.
#![no_main]

use pelton_core::{Delivery, Header, HeaderList, Message, Parts};
use pelton_engine::{DedupKey, Key};
use serde_json::Value;

/// What kinds of keys begin with.
const KINDS: [&str; 5] = ["", "header:", "json:", "json:/", "json:/a/"];

fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    bytes.iter().enumerate().for_each(|(at, byte)| out[at % 16] ^= byte.rotate_left((at % 8) as u32));
    out
}

/// Another reader, which builds the whole tree, finds the same.
fn compare(key: &DedupKey, message: &Message) {
    let DedupKey::Json { text, .. } = key else { return };
    let Ok(body) = serde_json::from_slice::<Value>(message.body()) else { return };
    let found = key.of(message, digest);
    match body.pointer(text) {
        Some(Value::String(text)) if !text.is_empty() => assert_eq!(found, Ok(Key::text(text.as_bytes()))),
        Some(Value::Bool(truth)) => assert_eq!(found, Ok(Key::truth(*truth))),
        Some(Value::Number(_)) => assert!(found.is_ok_and(|key| key.shown().parse::<f64>().is_ok())),
        _ => assert!(found.is_err(), "{found:?} is no key"),
    }
}

libfuzzer_sys::fuzz_target!(|input: (u8, String, Vec<u8>, Vec<u8>, String)| {
    let (kind, key, body, value, id) = input;
    let key = format!("{}{key}", KINDS[usize::from(kind) % KINDS.len()]);
    let Some(key) = DedupKey::parse(&key) else { return };
    let headers: HeaderList = [Header::new("h", value)].iter().collect();
    let message = Message::new(Parts { headers: headers.view(), body: &body, ..Parts::named(&id) });
    compare(&key, &message);
    let delivery = Delivery::of(message);
    let known = |()| key.known(&delivery, digest, digest);
    assert_eq!(known(()), known(()), "a key is the same every time");
    if let Ok(known) = known(()) {
        let printable =
            known.key.as_deref().is_none_or(|key| key.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(printable, "a key can be printed");
    }
});
