//! Idempotency keys of requests: the same over retries, redeliveries and replays of a message, and different
//! for two requests of it.

use crate::load::inspect::hex;
use pelton_core::ports::Work;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Bytes of a key; it is written in hexadecimal.
const KEY_BYTES: usize = 16;

/// How often each request was made in the running call.
#[derive(Default)]
pub(crate) struct Ordinals(HashMap<[u8; 32], u32>);

impl Ordinals {
    /// The key of the next request like this. Without personal data, since everything is hashed.
    pub(crate) fn next(&mut self, work: &Work, method: &str, authority: &str, path: &str) -> String {
        let scope = work.scope.as_deref().unwrap_or_default();
        let mut message = String::new();
        // A string takes all there is.
        write!(message, "{}", work.idempotency_key()).unwrap_or_default();
        let same = digest(&[scope, &message, method, authority, path], None);
        let ordinal = self.0.entry(same).or_default();
        let key = digest(&[scope, &message, method, authority, path], Some(*ordinal));
        *ordinal += 1;
        hex(key.get(..KEY_BYTES).unwrap_or_default())
    }
}

/// Each part with its length, so that no two lists of parts read the same.
fn digest(parts: &[&str], ordinal: Option<u32>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    if let Some(ordinal) = ordinal {
        hash.update(ordinal.to_be_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::work;

    #[test]
    fn a_key_is_the_same_each_time_and_different_for_two_requests() {
        let keys = |id: &str, scope: Option<&str>| {
            let one = Work { scope: scope.map(Into::into), ..work(id) };
            let mut ordinals = Ordinals::default();
            [("POST", "/a"), ("POST", "/b"), ("POST", "/a"), ("PATCH", "/a")]
                .map(|(method, path)| ordinals.next(&one, method, "api.example.com", path))
        };
        let first = keys("m", None);
        assert_eq!(first, keys("m", None));
        assert!(first.iter().all(|key| key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit())));
        let mut all: Vec<String> =
            [keys("n", None), keys("m", Some("topic")), first].into_iter().flatten().collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 12);
    }
}
