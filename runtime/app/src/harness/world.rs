//! What stands for the world where a handler is tried out: state in memory, and an outbox that is only read.

use pelton_core::effects::{Bucket, Staged, StagedMessage, Target};
use pelton_host::{MemoryState, OutboxGrant, Outlet, Refuses, StateConflict, StateGrant};
use std::sync::Arc;

/// Stores and targets by the names that the handler uses.
pub struct World {
    state: MemoryState,
    stores: Vec<String>,
    targets: Vec<(String, Refuses)>,
}

/// A value of state: its store, its key and itself.
pub type Entry = (String, Vec<u8>, Vec<u8>);

/// What a commit has done.
#[derive(Debug, Default)]
pub struct Committed {
    /// Stores and keys that were written or removed.
    pub written: Vec<(String, Vec<u8>)>,
    pub sent: Vec<Sent>,
}

/// A message that was sent, with the name of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub target: String,
    pub message: StagedMessage,
}

impl Committed {
    /// With what another has done after it.
    pub fn add(&mut self, other: Self) {
        self.written.extend(other.written);
        self.sent.extend(other.sent);
    }
}

impl World {
    pub fn new(stores: Vec<String>, targets: Vec<(String, Refuses)>) -> Self {
        Self { state: MemoryState::default(), stores, targets }
    }

    pub fn state(&self) -> StateGrant {
        let stores = self.buckets().map(|(name, bucket)| (name.clone(), bucket)).collect();
        StateGrant { home: Arc::new(self.state.clone()), stores }
    }

    pub fn outbox(&self) -> OutboxGrant {
        let outlet = |((name, refuses), target): (&(String, Refuses), Target)| Outlet {
            name: name.clone(),
            target,
            refuses: Arc::clone(refuses),
        };
        OutboxGrant { targets: self.targets.iter().zip((0..).map(Target)).map(outlet).collect() }
    }

    pub fn has_store(&self, name: &str) -> bool {
        self.stores.iter().any(|store| store == name)
    }

    pub fn has_target(&self, name: &str) -> bool {
        self.targets.iter().any(|(target, _)| target == name)
    }

    /// Forgets all state, and begins with this.
    pub fn begin(&self, values: impl IntoIterator<Item = Entry>) {
        self.state.clear();
        for (store, key, value) in values {
            let bucket = self.buckets().find(|(name, _)| **name == store);
            bucket.inspect(|(_, bucket)| self.state.set(*bucket, key, value));
        }
    }

    /// Commits what a call has staged.
    ///
    /// # Errors
    /// What it has read no longer stands: it is to run again.
    pub fn commit(&self, staged: &Staged) -> Result<Committed, StateConflict> {
        self.state.commit(&staged.effects)?;
        let effects = &staged.effects;
        let written = effects.writes.iter().map(|write| (self.store(write.bucket), write.key.clone()));
        let sent = effects
            .messages
            .iter()
            .map(|message| Sent { target: self.target(message.target), message: message.clone() });
        Ok(Committed { written: written.collect(), sent: sent.collect() })
    }

    /// All state, in order.
    pub fn entries(&self) -> Vec<Entry> {
        let of = |(name, bucket): (&String, Bucket)| {
            let entry = |(key, value)| (name.clone(), key, value);
            self.state.contents(bucket).into_iter().map(entry).collect::<Vec<_>>()
        };
        self.buckets().flat_map(of).collect()
    }

    fn buckets(&self) -> impl Iterator<Item = (&String, Bucket)> {
        self.stores.iter().zip((0..).map(Bucket))
    }

    fn store(&self, bucket: Bucket) -> String {
        let named = self.buckets().find(|(_, other)| *other == bucket);
        named.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn target(&self, target: Target) -> String {
        let name = usize::try_from(target.0).ok().and_then(|place| self.targets.get(place));
        name.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}
