//! The work of one message. Compiled twice from this file: natively, and into the component.

use std::time::Duration;

/// Rounds of the hash that take about 5 us natively on a body of 1 KB.
const HASH_ROUNDS: usize = 4;
/// Rounds of parsing and writing that take about 100 us natively on a body of 1 KB.
const JSON_ROUNDS: usize = 8;

/// How long a message waits, as for the answer of another service.
const WAIT: Duration = Duration::from_millis(5);

/// Does what the first byte of a body asks for: `h` hashes, `j` parses and writes the rest as JSON, `w`
/// waits, anything else is no work. The result is for `black_box`.
#[allow(clippy::disallowed_methods, reason = "waiting is the work that is asked for")]
pub fn run(body: &[u8]) -> u64 {
    match body.split_first() {
        Some((b'h', rest)) => (0..HASH_ROUNDS).fold(0, |sum, _| hash(sum, rest)),
        Some((b'j', rest)) => (0..JSON_ROUNDS).fold(0, |sum, _| sum + json(rest)),
        Some((b'w', _)) => {
            std::thread::sleep(WAIT);
            0
        }
        _ => 0,
    }
}

/// FNV-1a: one dependent multiplication a byte, so neither side can vectorise it.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn json(text: &[u8]) -> u64 {
    let tree: Option<serde_json::Value> = serde_json::from_slice(text).ok();
    tree.and_then(|tree| serde_json::to_string(&tree).ok()).map_or(0, |text| text.len() as u64)
}
