//! Room for instances: who keeps idle ones, and who waits for one to go.
//!
//! Nobody holds an instance while waiting for another, so waiting ends: what runs has deadlines,
//! and what idles is dropped for whoever waits.

use crate::run::instance::Instance;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// An instance that nobody used for this long is dropped; its handler makes another in a moment.
const STALE: Duration = Duration::from_secs(10);

/// All idle instances of the process.
#[derive(Default)]
pub(crate) struct Room {
    lists: Mutex<Vec<Weak<Idle>>>,
    freed: Notify,
}

/// The warm instances of one handler.
pub(crate) struct Idle {
    room: Arc<Room>,
    keep: usize,
    list: Mutex<Vec<Instance>>,
}

impl Room {
    /// A list for a new handler, that keeps at most `keep`.
    pub(crate) fn list(self: &Arc<Self>, keep: usize) -> Arc<Idle> {
        let idle = Arc::new(Idle { room: Arc::clone(self), keep, list: Mutex::new(Vec::new()) });
        let mut lists = lock(&self.lists);
        lists.retain(|list| list.strong_count() > 0);
        lists.push(Arc::downgrade(&idle));
        idle
    }

    /// Waits until there may be room, at most `patience`. False when there was none.
    pub(crate) async fn wait(&self, patience: Duration) -> bool {
        let freed = self.freed.notified();
        tokio::pin!(freed);
        freed.as_mut().enable();
        if self.evict() {
            return true;
        }
        tokio::time::timeout(patience, freed).await.is_ok()
    }

    /// An instance was dropped or went idle.
    pub(crate) fn freed(&self) {
        self.freed.notify_one();
    }

    /// Drops the instance that has been idle for longest. False when none is idle.
    fn evict(&self) -> bool {
        let lists: Vec<Arc<Idle>> = lock(&self.lists).iter().filter_map(Weak::upgrade).collect();
        let oldest = lists
            .iter()
            .filter_map(|idle| lock(&idle.list).first().map(|instance| (instance.idle_since, idle)))
            .min_by_key(|(since, _)| *since);
        oldest.is_some_and(|(_, idle)| {
            let mut list = lock(&idle.list);
            let victim = (!list.is_empty()).then(|| list.remove(0));
            drop(list);
            victim.is_some()
        })
    }

    /// Drops what has been idle for long. True when something idle is left.
    pub(crate) fn drop_stale(&self) -> bool {
        let lists: Vec<Arc<Idle>> = lock(&self.lists).iter().filter_map(Weak::upgrade).collect();
        let now = Instant::now();
        let mut left = false;
        for idle in lists {
            let mut list = lock(&idle.list);
            let fresh = list.partition_point(|instance| now.duration_since(instance.idle_since) >= STALE);
            let stale: Vec<Instance> = list.drain(..fresh).collect();
            left |= !list.is_empty();
            drop(list);
            drop(stale);
        }
        left
    }
}

impl Idle {
    /// The instance that was used last, since its memory is the warmest.
    pub(crate) fn take(&self) -> Option<Instance> {
        lock(&self.list).pop()
    }

    /// Keeps an instance for the next chunk.
    pub(crate) fn put(&self, mut instance: Instance) {
        instance.release();
        let mut list = lock(&self.list);
        let surplus = if list.len() < self.keep {
            list.push(instance);
            None
        } else {
            Some(instance)
        };
        drop(list);
        drop(surplus);
        self.room.freed();
    }
}

/// A panic while a list was held cannot leave it broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
