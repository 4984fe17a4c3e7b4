//! The keys of state that calls touch which commit together, and how they are locked: in one order for all
//! workers, so that none waits for another in a circle.

use super::ask::Command;
use super::names::NumberOf;
use pelton_core::effects::{Bucket, Effects, Stamp};
use std::collections::BTreeMap;
use tokio_postgres::types::Type;

/// Locks keys that are written, or only read, in the order in which they are given. One that is not there
/// cannot be locked: see `PLACES`.
const FOR_WRITES: &str = "SELECT FROM unnest($1::int8[], $2::bytea[]) WITH ORDINALITY AS k(bucket, key, n) \
    JOIN pelton_state s ON s.bucket = k.bucket AND s.key = k.key ORDER BY k.n FOR UPDATE OF s";
const FOR_READS: &str = "SELECT FROM unnest($1::int8[], $2::bytea[]) WITH ORDINALITY AS k(bucket, key, n) \
    JOIN pelton_state s ON s.bucket = k.bucket AND s.key = k.key ORDER BY k.n FOR SHARE OF s";
/// Locks the places of those keys that are not there: whoever makes one locks its place too.
const PLACES: &str = "SELECT pg_advisory_xact_lock(p.place) FROM ( \
    SELECT DISTINCT k.place FROM unnest($1::int8[], $2::bytea[], $3::int8[]) AS k(bucket, key, place) \
    WHERE NOT EXISTS (SELECT FROM pelton_state s WHERE s.bucket = k.bucket AND s.key = k.key) \
    ORDER BY k.place) p";
/// Of the locks of a database that are known by number, ours are these and the 255 behind.
const FIRST_PLACE: i64 = 0x7065_6c74_6f6e_0000;
const PLACE_COUNT: u64 = 256;

/// The keys, by the database's number of their store.
#[derive(Debug, Default)]
pub(crate) struct Touched(BTreeMap<(i64, Vec<u8>), Touch>);

#[derive(Debug, Default, Clone, Copy)]
struct Touch {
    written: bool,
    /// It may not be there.
    perhaps_new: bool,
}

/// The stores that a call touches.
pub(crate) fn buckets(effects: &Effects) -> impl Iterator<Item = Bucket> {
    let read = effects.reads.iter().map(|seen| seen.bucket);
    read.chain(effects.writes.iter().map(|write| write.bucket))
}

impl Touched {
    /// Takes over what a call touches.
    pub fn add(&mut self, effects: &Effects, numbers: &NumberOf) {
        let mut read = BTreeMap::new();
        for seen in &effects.reads {
            let key = (numbers.bucket(seen.bucket), seen.key.clone());
            read.insert((seen.bucket, &*seen.key), seen.stamp);
            self.0.entry(key).or_default().perhaps_new |= seen.stamp == Stamp::ABSENT;
        }
        for write in &effects.writes {
            let touch = self.0.entry((numbers.bucket(write.bucket), write.key.clone())).or_default();
            touch.written = true;
            touch.perhaps_new |= !read.contains_key(&(write.bucket, &*write.key));
        }
    }

    /// The keys, in the order in which they are locked.
    pub fn keys(&self) -> impl Iterator<Item = &(i64, Vec<u8>)> {
        self.0.keys()
    }

    /// What locks them all.
    pub fn locks(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        let all: Vec<_> = self.0.iter().collect();
        for run in all.chunk_by(|(_, one), (_, next)| one.written == next.written) {
            let (buckets, keys): (Vec<i64>, Vec<Vec<u8>>) =
                run.iter().map(|(key, _)| (*key).clone()).unzip();
            let written = run.iter().any(|(_, touch)| touch.written);
            commands.push(Command::new(
                if written { FOR_WRITES } else { FOR_READS },
                vec![(Box::new(buckets), Type::INT8_ARRAY), (Box::new(keys), Type::BYTEA_ARRAY)],
            ));
        }
        let new = self.0.iter().filter(|(_, touch)| touch.perhaps_new);
        let (mut buckets, mut keys, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for ((bucket, key), _) in new {
            buckets.push(*bucket);
            keys.push(key.clone());
            places.push(place(*bucket, key));
        }
        if !places.is_empty() {
            commands.push(Command::new(
                PLACES,
                vec![
                    (Box::new(buckets), Type::INT8_ARRAY),
                    (Box::new(keys), Type::BYTEA_ARRAY),
                    (Box::new(places), Type::INT8_ARRAY),
                ],
            ));
        }
        commands
    }
}

/// Keys share places, and those that do wait for each other: a commit that makes thousands of keys takes no
/// more locks than there are places.
///
/// FNV-1a: all workers of a fleet have to find the same place, whatever their version.
fn place(bucket: i64, key: &[u8]) -> i64 {
    let bytes = bucket.to_be_bytes().into_iter().chain(key.iter().copied());
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, step);
    FIRST_PLACE + (hash % PLACE_COUNT).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::effects::{Seen, Write};

    fn seen(key: &str, stamp: u64) -> Seen {
        Seen { bucket: Bucket(1), key: key.into(), stamp: Stamp(stamp) }
    }

    fn write(key: &str) -> Write {
        Write { bucket: Bucket(1), key: key.into(), value: Some(b"1".to_vec()), stamp: Stamp(9) }
    }

    fn effects(reads: Vec<Seen>, writes: Vec<Write>) -> Effects {
        let mut effects = Effects::default();
        (effects.reads, effects.writes) = (reads, writes);
        effects
    }

    #[test]
    fn what_is_known_to_be_there_needs_no_place() {
        let texts = |effects: &Effects| -> Vec<&str> {
            let mut touched = Touched::default();
            touched.add(effects, &NumberOf::default());
            touched.locks().iter().map(|command| command.text).collect()
        };
        let known = effects(vec![seen("a", 1)], vec![write("a")]);
        assert_eq!(texts(&known), [FOR_WRITES]);
        let mixed = effects(vec![seen("b", 1), seen("a", 1), seen("c", 1)], vec![write("b")]);
        assert_eq!(texts(&mixed), [FOR_READS, FOR_WRITES, FOR_READS], "in the order of keys");
        let absent = effects(vec![seen("a", 0)], Vec::new());
        assert_eq!(texts(&absent), [FOR_READS, PLACES]);
        let blind = effects(Vec::new(), vec![write("a")]);
        assert_eq!(texts(&blind), [FOR_WRITES, PLACES]);
    }

    #[test]
    fn places_are_the_same_for_every_worker() {
        assert_eq!(place(1, b"customer-7"), place(1, b"customer-7"));
        assert!((0..999_i64).all(|n| (0..256).contains(&(place(n, b"k") - FIRST_PLACE))));
        assert_eq!(place(3, b"total") - FIRST_PLACE, 158, "as in every version");
    }
}
