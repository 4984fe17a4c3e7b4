//! Objects that messages point to, whoever reads them.

use crate::envelopes::Pointer;
use pelton_core::ports::{BoxFuture, Counted};

/// Which objects may be read, and how their service is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsConfig {
    /// The buckets that messages may point to.
    pub buckets: Vec<String>,
    /// An object is deleted when its message is handled.
    pub delete: bool,
    /// Where the buckets are, if the SDK's chain does not say.
    pub region: Option<String>,
    /// Another service.
    pub endpoint_url: Option<String>,
    /// Bytes of an object.
    pub max_bytes: usize,
}

/// Reads objects, and deletes them.
pub trait ObjectStore: Send + Sync {
    /// The bytes of each, in their order. Waits until it is known what there is. `Err` says why there is
    /// none.
    fn get(&self, pointers: Vec<Pointer>) -> BoxFuture<'_, Vec<Result<Vec<u8>, String>>>;

    /// Deletes one. `Err` says why it stays.
    fn delete(&self, pointer: Pointer) -> BoxFuture<'_, Result<(), String>>;

    /// Why an object cannot be read now; none while all is well.
    fn trouble(&self) -> Option<String>;

    /// What it has counted so far.
    fn counted(&self) -> Counted;
}
