//! What a row of the ledger is known by: 16 bytes of SHA-256, kept as a uuid.

use bytes::{BufMut, BytesMut};
use pelton_core::message::Message;
use pelton_core::number::of_an_id;
use pelton_core::{Identity, letter};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Bytes of a key that say where its row lies; the rest tells it from all others.
const PREFIX: usize = 6;

/// The key of a row, and other digests of 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// Of a message: what numbers it counts together with what it is known by there, so that two sources
    /// never meet under one name. A place is known by the message's id, since each worker numbers partitions
    /// in its own way.
    #[must_use]
    pub fn of(scope: Option<&str>, identity: Option<Identity>, message: &Message) -> Self {
        match identity {
            Some(Identity::Key(key)) => {
                let (prefix, _) = key.split_at(PREFIX);
                Self::of_parts(scope, b"key", &key).behind(prefix)
            }
            // Only its id counts: who asks by that knows no partition's number.
            Some(Identity::Position(_)) => {
                let id = message.id().text();
                let (place, offset) = id.rsplit_once('/').unwrap_or_default();
                let Self([a, b, ..]) = Self::of_parts(scope, b"place", place.as_bytes());
                let [.., c, d, e, f] = of_an_id::<u64>(offset).unwrap_or(0).to_be_bytes();
                Self::of_parts(scope, b"id", id.as_bytes()).behind(&[a, b, c, d, e, f])
            }
            // It has a letter and nothing else: that is written once.
            None => Self::of_parts(scope, b"invalid", message.id().text().as_bytes()),
        }
    }

    /// With other first bytes: rows that come one after another lie beside one another, and so a chunk is in
    /// a few pages of the index. Those of a partition begin with two bytes of its own, and then count. A
    /// deduplication key that tells a time begins with that, as the core has it.
    fn behind(mut self, prefix: &[u8]) -> Self {
        self.0.rotate_right(PREFIX);
        self.0[..PREFIX].copy_from_slice(prefix);
        self
    }

    fn of_parts(scope: Option<&str>, kind: &[u8], what: &[u8]) -> Self {
        let mut digest = Sha256::new();
        for part in [scope.unwrap_or_default().as_bytes(), kind] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.update(what);
        Self::first(digest)
    }

    /// What is left of a message that has a letter: enough to know it again. One that came back from its
    /// letter has the id it had, and is another.
    #[must_use]
    pub fn mark(message: &Message) -> Self {
        let mut digest = Sha256::new();
        digest.update(message.id().text().as_bytes());
        if let Some(replay) = message.headers().find(letter::REPLAY).filter(|_| message.replayed()) {
            digest.update([0]);
            digest.update(replay.value);
        }
        Self::first(digest)
    }

    fn first(digest: Sha256) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&digest.finalize()[..16]);
        Self(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl ToSql for Key {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Key {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::Position;
    use pelton_core::message::Parts;

    #[test]
    fn a_place_is_known_by_its_id_in_its_scope_whoever_numbers_it() {
        let message = Message::new(Parts::named("orders/3/17"));
        // Who asks by an id alone knows no offset either.
        let at = |partition| {
            Some(Identity::Position(Position { partition, offset: 17 * u64::from(partition % 2) }))
        };
        let key = |scope, identity| Key::of(scope, identity, &message);
        assert_eq!(key(Some("a"), at(3)), key(Some("a"), at(6)));
        assert_ne!(key(Some("a"), at(3)), key(Some("b"), at(3)));
        let keyed = Some(Identity::Key([7; 16]));
        assert_ne!(key(Some("a"), keyed), key(Some("a"), at(3)));
        assert_ne!(key(Some("a"), None), key(Some("a"), at(3)));
    }

    #[test]
    fn what_comes_one_after_another_lies_beside_one_another() {
        let place = |partition: u32, offset: u64| {
            let id = format!("orders/{partition}/{offset}");
            let message = Message::new(Parts::named(&id));
            Key::of(Some("a"), Some(Identity::Position(Position { partition, offset })), &message)
        };
        let keys: Vec<Key> = (250..300).map(|offset| place(3, offset)).collect();
        assert!(keys.is_sorted() && keys.iter().all(|key| key.0[..2] == keys[0].0[..2]));
        assert_ne!(place(3, 7).0[..2], place(4, 7).0[..2]);
        assert_ne!(place(3, 1), place(3, 1 + (1 << 32)), "the rest tells them apart");
        let time = [
            [0, 0, 1, 2, 3, 4, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
            [0, 0, 1, 2, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        let [one, other] =
            time.map(|key| Key::of(Some("a"), Some(Identity::Key(key)), &Message::default()));
        assert!(one < other);
    }
}
