//! What the ledger keeps of the texts that messages are known by.
//!
//! Many texts tell when they were made: their keys sort by that, so that what is completed now is higher
//! than all that is kept, and not even a filter is asked.

use sha2::{Digest, Sha256};

/// What is kept of one.
pub type Key = [u8; 16];

/// Bytes of a time, in milliseconds since the epoch.
const TIME: usize = 6;
/// Digits of such a time from September 2001 on, for 284 years.
const TIME_DIGITS: usize = 13;

/// First 16 bytes of the SHA-256.
#[must_use]
pub fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
    digest
}

/// What the ledger keeps of a key, whatever its length: its digest; of one that tells a time, that time and
/// the first ten bytes of the digest. Those are the ids of Redis (`1700000000000-0`, behind the stream's
/// name and a slash or alone), UUIDs of version 7 (RFC 9562) and ULIDs.
#[must_use]
pub fn ledger_key(text: &[u8]) -> Key {
    let whole = digest(text);
    let Some(ms) = time_of(text) else { return whole };
    let mut key = [0; 16];
    key[..TIME].copy_from_slice(&ms.to_be_bytes()[8 - TIME..]);
    key[TIME..].copy_from_slice(&whole[..16 - TIME]);
    key
}

fn time_of(text: &[u8]) -> Option<u64> {
    let last = text.rsplit(|byte| *byte == b'/').next()?;
    entry_id(last).or_else(|| uuid(last)).or_else(|| ulid(last))
}

fn entry_id(text: &[u8]) -> Option<u64> {
    let (ms, [b'-', number @ ..]) = text.split_at_checked(TIME_DIGITS)? else { return None };
    let is_one = (1..=20).contains(&number.len()) && ms.iter().chain(number).all(u8::is_ascii_digit);
    is_one.then(|| digits(ms, 10)).flatten()
}

fn uuid(text: &[u8]) -> Option<u64> {
    let shape = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        14 => *byte == b'7',
        _ => byte.is_ascii_hexdigit(),
    };
    let is_one = text.len() == 36 && text.iter().enumerate().all(shape);
    is_one.then(|| Some(digits(&text[..8], 16)? << 16 | digits(&text[9..13], 16)?)).flatten()
}

fn ulid(text: &[u8]) -> Option<u64> {
    // Base 32 without I, L, O and U; the first ten of 26 are the time, of which no more than 48 bits are
    // used.
    let value = |byte: &u8| {
        let at =
            b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".iter().position(|b| *b == byte.to_ascii_uppercase())?;
        u64::try_from(at).ok()
    };
    let is_one = text.len() == 26 && text[0] <= b'7' && text.iter().all(|byte| value(byte).is_some());
    is_one.then(|| text[..10].iter().try_fold(0, |all, byte| Some(all << 5 | value(byte)?))).flatten()
}

fn digits(text: &[u8], base: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, base).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_700_000_000_123;

    #[test]
    fn texts_that_tell_a_time_sort_by_it() {
        let entry = format!("orders/{MS}-0");
        let hex = format!("{MS:012x}");
        let uuid = format!("{}-{}-7abc-8def-0123456789ab", &hex[..8], &hex[8..]);
        let times = [entry.as_str(), "1700000000123-18446744073709551615", &uuid, &uuid.to_uppercase()];
        assert_eq!(times.map(|text| time_of(text.as_bytes())), [Some(MS); 4]);
        // As the specification of ULIDs has it.
        assert_eq!(time_of(b"01ARZ3NDEKTSV4RRFFQ69G5FAV"), Some(1_469_922_850_259));
        assert_eq!(time_of(b"7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), Some((1 << 48) - 1));
        let key = |ms: u64, n: u64| ledger_key(format!("orders/{ms}-{n}").as_bytes());
        assert!(key(MS, 7) < key(MS + 1, 0) && key(MS + 1, 0) < key(MS + 256, 3));
    }

    #[test]
    fn the_same_time_makes_no_two_texts_one() {
        let texts = (0..1_000).map(|n| format!("{MS}-{n}"));
        let streams = (0..1_000).map(|n| format!("orders-{n}/{MS}-0"));
        let keys: std::collections::BTreeSet<_> =
            texts.chain(streams).map(|text| ledger_key(text.as_bytes())).collect();
        assert_eq!(keys.len(), 2_000);
    }

    #[test]
    fn others_are_their_digest() {
        let others = [
            "",
            "/",
            "order-17",
            "170000000012-0",
            "1700000000123-",
            "1700000000123-1x",
            "+700000000123-1",
            "1700000000123-184467440737095516150",
            "018bcfe5-687b-4abc-8def-0123456789ab",
            "018bcfe5-687b-7abc-8def-0123456789ag",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
        ];
        for text in others {
            assert_eq!(ledger_key(text.as_bytes()), digest(text.as_bytes()), "{text}");
        }
    }
}
