//! Identities as bytes: keys of `attempts`, items of `started`.

use pelton_core::{Identity, Position};

/// A position sorts by partition and offset, so that a batch of them is one range.
pub fn encode(identity: Identity) -> Vec<u8> {
    match identity {
        Identity::Position(Position { partition, offset }) => {
            let mut bytes = vec![0];
            bytes.extend(partition.to_be_bytes());
            bytes.extend(offset.to_be_bytes());
            bytes
        }
        Identity::Key(key) => {
            let mut bytes = vec![1];
            bytes.extend(key);
            bytes
        }
    }
}

/// The inverse; none of bytes that make no sense.
pub fn decode(bytes: &[u8]) -> Option<Identity> {
    let (tag, mut rest) = bytes.split_first()?;
    let identity = match tag {
        0 => Identity::Position(Position {
            partition: u32::from_be_bytes(take(&mut rest)?),
            offset: u64::from_be_bytes(take(&mut rest)?),
        }),
        _ => Identity::Key(take(&mut rest)?),
    };
    rest.is_empty().then_some(identity)
}

/// What has been started: identity and number of the attempt.
pub type Item = (Identity, u32);

/// Runs of neighbouring positions with the same attempt are one record: a chunk of a quiet queue
/// is a few bytes.
pub fn encode_items(items: impl Iterator<Item = Item>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut run: Option<(Position, u32, u32)> = None;
    for (identity, attempt) in items {
        match (identity, &mut run) {
            (Identity::Position(p), Some((first, count, n)))
                if *n == attempt
                    && p.partition == first.partition
                    && p.offset == first.offset + u64::from(*count) =>
            {
                *count += 1;
            }
            (Identity::Position(p), _) => {
                flush(&mut bytes, run.replace((p, 1, attempt)));
            }
            (Identity::Key(key), _) => {
                flush(&mut bytes, run.take());
                bytes.push(1);
                bytes.extend(key);
                bytes.extend(attempt.to_le_bytes());
            }
        }
    }
    flush(&mut bytes, run);
    bytes
}

fn flush(bytes: &mut Vec<u8>, run: Option<(Position, u32, u32)>) {
    if let Some((first, count, attempt)) = run {
        bytes.push(0);
        bytes.extend(first.partition.to_le_bytes());
        bytes.extend(first.offset.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(attempt.to_le_bytes());
    }
}

/// The inverse; stops at bytes that make no sense, which a checked file does not have.
pub fn decode_items(mut bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let mut rest = rest;
        let done = match tag {
            0 => decode_run(&mut rest, &mut items),
            _ => decode_key(&mut rest, &mut items),
        };
        if done.is_none() {
            break;
        }
        bytes = rest;
    }
    items
}

fn decode_run(rest: &mut &[u8], items: &mut Vec<Item>) -> Option<()> {
    let partition = u32::from_le_bytes(take(rest)?);
    let first = u64::from_le_bytes(take(rest)?);
    let count = u32::from_le_bytes(take(rest)?);
    let attempt = u32::from_le_bytes(take(rest)?);
    let positions = (0..u64::from(count)).map(|i| Position { partition, offset: first + i });
    items.extend(positions.map(|p| (Identity::Position(p), attempt)));
    Some(())
}

fn decode_key(rest: &mut &[u8], items: &mut Vec<Item>) -> Option<()> {
    let key = take(rest)?;
    let attempt = u32::from_le_bytes(take(rest)?);
    items.push((Identity::Key(key), attempt));
    Some(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>()?;
    *bytes = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_come_back_and_positions_sort_as_their_bytes_do() {
        let at = |partition, offset| Identity::Position(Position { partition, offset });
        let sorted = [at(1, 0), at(1, 255), at(1, 256), at(256, 3)];
        assert!(sorted.is_sorted() && sorted.map(encode).is_sorted());
        assert_eq!(sorted.map(|i| decode(&encode(i))), sorted.map(Some));
        let key = Identity::Key([7; 16]);
        assert_eq!(decode(&encode(key)), Some(key));
        assert_eq!([&[][..], &[0; 12], &[0; 14], &[1; 16]].map(decode), [None; 4]);
    }

    #[test]
    fn items_come_back_and_runs_are_short() {
        let position = |offset| Identity::Position(Position { partition: 3, offset });
        let mut items: Vec<Item> = (10..266).map(|o| (position(o), 1)).collect();
        assert_eq!(encode_items(items.iter().copied()).len(), 21);
        items.push((Identity::Key([7; 16]), 2));
        items.push((position(999), 1));
        items.push((position(1_000), 4));
        assert_eq!(decode_items(&encode_items(items.iter().copied())), items);
    }
}
