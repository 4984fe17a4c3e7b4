//! What a registry has said: schemas for ever, as far as there is room, and what it does not have for a
//! while.

use super::Found;
use crate::schemas::CompiledSchema;
use crate::schemas::wire::SchemaRef;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Schemas that are kept, and the bytes of their texts. The one that was not used for longest goes first.
const SCHEMAS: usize = 1_000;
const BYTES: usize = 64 << 20;
/// How long it counts that there is none, and how many of those are remembered.
const NONE_FOR: Duration = Duration::from_secs(30);
const NONES: usize = 1_000;

/// An answer.
pub(super) enum Kept {
    Schema(Arc<dyn CompiledSchema>),
    Unusable(Arc<str>),
}

#[derive(Default)]
pub(super) struct Cache {
    schemas: HashMap<SchemaRef, Good>,
    unusable: HashMap<SchemaRef, (Arc<str>, Instant)>,
    bytes: usize,
    uses: u64,
}

struct Good {
    schema: Arc<dyn CompiledSchema>,
    bytes: usize,
    used: u64,
}

impl Kept {
    pub(super) fn found(&self) -> Found {
        match self {
            Self::Schema(schema) => Found::Schema(schema.clone()),
            Self::Unusable(why) => Found::Unusable(why.clone()),
        }
    }
}

impl Cache {
    pub(super) fn get(&mut self, named: SchemaRef, now: Instant) -> Option<Found> {
        self.uses += 1;
        if let Some(good) = self.schemas.get_mut(&named) {
            good.used = self.uses;
            return Some(Found::Schema(good.schema.clone()));
        }
        let (why, until) = self.unusable.get(&named)?;
        (*until > now).then(|| Found::Unusable(why.clone()))
    }

    pub(super) fn keep(&mut self, named: SchemaRef, kept: Kept, bytes: usize, now: Instant) {
        match kept {
            Kept::Unusable(why) => {
                if self.unusable.len() >= NONES {
                    self.unusable.retain(|_, (_, until)| *until > now);
                }
                // Somebody makes them up: each is asked for anew then.
                if self.unusable.len() >= NONES {
                    self.unusable.clear();
                }
                self.unusable.insert(named, (why, now + NONE_FOR));
            }
            Kept::Schema(schema) => {
                self.unusable.remove(&named);
                while self.schemas.len() >= SCHEMAS
                    || (self.bytes + bytes > BYTES && !self.schemas.is_empty())
                {
                    self.forget_one();
                }
                self.bytes += bytes;
                self.schemas.insert(named, Good { schema, bytes, used: self.uses });
            }
        }
    }

    fn forget_one(&mut self) {
        let oldest = self.schemas.iter().min_by_key(|(_, good)| good.used).map(|(named, _)| *named);
        if let Some(good) = oldest.and_then(|named| self.schemas.remove(&named)) {
            self.bytes = self.bytes.saturating_sub(good.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::fault::Fault;
    use crate::schemas::out::Out;
    use crate::schemas::{CompiledSchema, Part};

    struct Any;

    impl CompiledSchema for Any {
        fn check(&self, _: Part<'_>, _: &mut Out) -> Result<(), Fault> {
            Ok(())
        }
    }

    fn good() -> Kept {
        Kept::Schema(Arc::new(Any))
    }

    #[test]
    fn what_is_used_stays_and_there_are_never_too_many() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for id in 0..3_000 {
            cache.keep(SchemaRef::Id(id), good(), 100, now);
            assert!(cache.get(SchemaRef::Id(0), now).is_some());
        }
        assert_eq!((cache.schemas.len(), cache.bytes), (SCHEMAS, SCHEMAS * 100));
        assert!(
            cache.get(SchemaRef::Id(1), now).is_none() && cache.get(SchemaRef::Id(2_999), now).is_some()
        );
        for id in 5_000..5_100 {
            cache.keep(SchemaRef::Id(id), good(), 1 << 20, now);
            assert!(cache.bytes <= BYTES);
        }
    }

    #[test]
    fn that_there_is_none_counts_for_a_while() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for id in 0..10_000 {
            cache.keep(SchemaRef::Id(id), Kept::Unusable("is unknown".into()), 0, now);
            assert!(cache.unusable.len() <= NONES);
        }
        let last = SchemaRef::Id(9_999);
        assert!(matches!(cache.get(last, now), Some(Found::Unusable(_))));
        assert!(cache.get(last, now + NONE_FOR).is_none());
        cache.keep(last, good(), 1, now);
        assert!(matches!(cache.get(last, now), Some(Found::Schema(_))));
    }
}
