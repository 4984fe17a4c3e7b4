//! What this process knows of the targets it sends to: where that is, and what waits.

use crate::queue::Queue;
use pelton_core::effects::{Backlog, Target};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The targets that have been asked for, by their numbers.
#[derive(Default)]
pub struct Targets(Mutex<HashMap<Target, Arc<OpenTarget>>>);

/// A target that is sent to.
pub struct OpenTarget {
    pub target: Target,
    /// The embedded queue that it is; none for one with an outbox.
    pub queue: Option<Arc<Queue>>,
    backlog: Mutex<Backlog>,
    committed: Notify,
}

impl Targets {
    fn all(&self) -> MutexGuard<'_, HashMap<Target, Arc<OpenTarget>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows a target from now on. One that is known stays, with who waits for it, unless it goes elsewhere.
    pub fn open(&self, target: Target, queue: Option<Arc<Queue>>, backlog: Backlog) {
        let mut all = self.all();
        let place = |queue: &Option<Arc<Queue>>| queue.as_ref().map(|queue| queue.id);
        if all.get(&target).is_none_or(|known| place(&known.queue) != place(&queue)) {
            let backlog = Mutex::new(backlog);
            let opened = OpenTarget { target, queue, backlog, committed: Notify::new() };
            all.insert(target, Arc::new(opened));
        }
    }

    pub fn of(&self, target: Target) -> Option<Arc<OpenTarget>> {
        self.all().get(&target).cloned()
    }

    /// Those with an outbox.
    pub fn with_outbox(&self) -> Vec<Arc<OpenTarget>> {
        self.all().values().filter(|open| open.queue.is_none()).cloned().collect()
    }
}

impl OpenTarget {
    pub fn backlog(&self) -> Backlog {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits is this much now; `grown` when some of it is new.
    pub fn stands(&self, backlog: Backlog, grown: bool) {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
        if grown {
            // Kept for the relay that is not waiting just now: there is one.
            self.committed.notify_one();
        }
    }

    pub async fn committed(&self) {
        self.committed.notified().await;
    }
}
