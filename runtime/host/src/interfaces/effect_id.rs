//! Ids of what a message causes: the same each time it is handled, and of no other message in the world.

use crate::load::inspect::hex;
use pelton_core::ports::Work;
use sha2::{Digest, Sha256};

/// Bytes of a digest that are an id.
const ID_BYTES: usize = 16;

/// 32 hexadecimal digits, from what caused it and these parts, in which nothing is left to chance or time. A
/// replay that handles again what was completed has ids of its own.
pub(crate) fn of(kind: &str, work: &Work, parts: &[&[u8]]) -> String {
    let scope = work.scope.as_deref().unwrap_or_default();
    let key = work.idempotency_key().to_string();
    let mut hash = Sha256::new();
    let redo = work.redo.as_deref().unwrap_or_default();
    let first = [kind.as_bytes(), scope.as_bytes(), key.as_bytes(), redo.as_bytes()];
    for part in first.iter().chain(parts) {
        // With its length, so that no two lists of parts are one text.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..ID_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::work;
    use std::collections::BTreeSet;

    #[test]
    fn an_id_is_the_same_for_the_same_cause_and_no_other() {
        let scoped = |scope: &str| Work { scope: Some(scope.into()), ..work("m") };
        let one = of("outbox", &work("m"), &[b"t", b"0"]);
        assert_eq!(one, of("outbox", &Work { attempt: 7, ..work("m") }, &[b"t", b"0"]));
        assert_eq!(one.len(), 32);
        let all = [
            one,
            of("outbox", &work("m"), &[b"t", b"1"]),
            of("outbox", &work("m"), &[b"t0", b""]),
            of("outbox", &work("n"), &[b"t", b"0"]),
            of("http", &work("m"), &[b"t", b"0"]),
            of("outbox", &scoped("a"), &[b"t", b"0"]),
            of("outbox", &scoped("b"), &[b"t", b"0"]),
            of("outbox", &Work { redo: Some("a".into()), ..work("m") }, &[b"t", b"0"]),
            of("outbox", &Work { redo: Some("b".into()), ..work("m") }, &[b"t", b"0"]),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
