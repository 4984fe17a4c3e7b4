//! Key-value state: what is read, what is written, and what tells that it still stands.

use crate::ports::BoxFuture;
use std::any::Any;
use std::fmt;

/// A store of state, as its home numbers it: one that a pipeline has for itself, or one that several share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(pub i64);

/// What tells a write from every other one, of this or any process. Whoever reads notes the stamp that it
/// saw; the completing transaction sees whether it still stands. A number that counts the writes of a key
/// could not do that: what has finished, and is not committed yet, can be read by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Of a key that is not there.
    pub const ABSENT: Self = Self(0);
}

/// A key as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub bucket: Bucket,
    /// The key.
    pub key: Vec<u8>,
    /// What its value was written with.
    pub stamp: Stamp,
}

/// A key that is written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub bucket: Bucket,
    /// The key.
    pub key: Vec<u8>,
    /// Its value from then on; none removes it.
    pub value: Option<Vec<u8>>,
    /// This write's own.
    pub stamp: Stamp,
}

/// The value of a key, as a message sees it that is handled now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// None when it is not there.
    pub bytes: Option<Vec<u8>>,
    /// [`Stamp::ABSENT`] when it is not there.
    pub stamp: Stamp,
}

/// Why state could not be read, in words for a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateError(pub String);

/// What is shown of writes that are not committed: until it is dropped.
pub struct Shown(Option<Box<dyn Any + Send + Sync>>);

impl Shown {
    /// As long as `guard` lives.
    #[must_use]
    pub fn by(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shown").field(&self.0.is_some()).finish()
    }
}

/// Who keeps state. Nothing blocks the calling thread for longer than a read of a local file takes.
pub trait StateHome: Send + Sync {
    /// The values of keys, in their order, as a message sees them that is handled now: what is committed,
    /// and over it what is shown.
    fn read<'a>(
        &'a self,
        bucket: Bucket,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<Vec<Value>, StateError>>;

    /// At most `max` committed keys in their order, those behind `after`. What is shown is not among them,
    /// and nothing says later that it still stands.
    fn keys<'a>(
        &'a self,
        bucket: Bucket,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, StateError>>;

    /// How many bytes the committed keys and values of a store have together. It may look at all of them.
    fn size(&self, bucket: Bucket) -> BoxFuture<'_, Result<u64, StateError>>;

    /// A new stamp.
    fn stamp(&self) -> Stamp;

    /// Shows these writes to whoever reads from now on, until what it gives is dropped. A removal is shown
    /// as a key that is not there, with [`Stamp::ABSENT`].
    fn show(&self, writes: &[Write]) -> Shown;
}
