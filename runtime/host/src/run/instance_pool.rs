//! Room for instances: who has some, who keeps idle ones, and who waits for one to go.
//!
//! Nobody holds an instance while waiting for another, so waiting ends: what runs has deadlines,
//! and what idles is dropped for whoever waits. Pipelines are treated alike: as long as one of them has no
//! instance the others do not take the last, and of those that wait the one that has least comes first.

use crate::run::instance::Instance;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// An instance that nobody used for this long is dropped; its handler makes another in a moment.
const STALE: Duration = Duration::from_secs(10);
/// That a pipeline waits is said at most this often.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// Messages of a chunk that got no room come again within this time, so its pipeline waits all the while.
const COMES_AGAIN: Duration = Duration::from_secs(5);

/// All instances of the process.
pub(crate) struct InstancePool {
    max: usize,
    lists: Mutex<Vec<Weak<Idle>>>,
    taken: Mutex<Taken>,
}

/// Who has how many.
#[derive(Default)]
struct Taken {
    total: usize,
    /// Pipelines that have a handler and no instance.
    without: usize,
    pipelines: HashMap<Arc<str>, Share>,
    waiting: VecDeque<Waiting>,
}

/// One pipeline's.
#[derive(Default)]
struct Share {
    held: usize,
    /// Handlers that it has; without one it has no claim to an instance.
    handlers: usize,
    said: Option<Instant>,
    /// How often it has waited, and until when somebody did so in vain.
    waited: u64,
    in_vain: Option<Instant>,
}

struct Waiting {
    pipeline: Arc<str>,
    wake: oneshot::Sender<()>,
}

/// How a pipeline has fared that may have to wait for room for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomNeed {
    /// A chunk of it waits, or has just given up waiting.
    pub waits: bool,
    /// How often one has waited, since the pipeline began.
    pub waited: u64,
    /// Instances that the process may have.
    pub instances: usize,
}

/// The right to one instance.
pub(crate) struct InstancePermit {
    room: Arc<InstancePool>,
    pipeline: Arc<str>,
}

/// The warm instances of one handler.
pub(crate) struct Idle {
    room: Arc<InstancePool>,
    pipeline: Arc<str>,
    keep: usize,
    list: Mutex<Vec<Instance>>,
}

impl InstancePool {
    /// Room for at most `max` instances.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), lists: Mutex::default(), taken: Mutex::default() }
    }

    /// A list for a new handler of a pipeline, that keeps at most `keep`.
    pub(crate) fn list(self: &Arc<Self>, pipeline: &Arc<str>, keep: usize) -> Arc<Idle> {
        let (room, pipeline) = (Arc::clone(self), Arc::clone(pipeline));
        lock(&self.taken).change(&pipeline, |share| share.handlers += 1);
        let idle = Arc::new(Idle { room, pipeline, keep, list: Mutex::new(Vec::new()) });
        let mut lists = lock(&self.lists);
        lists.retain(|list| list.strong_count() > 0);
        lists.push(Arc::downgrade(&idle));
        idle
    }

    /// A place for another instance of a pipeline, if there is one for it now. Who has not waited takes
    /// none away from those who do.
    pub(crate) fn enter(self: &Arc<Self>, pipeline: &Arc<str>, has_waited: bool) -> Option<InstancePermit> {
        let mut taken = lock(&self.taken);
        let may = (has_waited || taken.waiting.is_empty()) && taken.has_room(pipeline, self.max);
        may.then(|| {
            taken.total += 1;
            taken.change(pipeline, |share| share.held += 1);
            InstancePermit { room: Arc::clone(self), pipeline: Arc::clone(pipeline) }
        })
    }

    /// Waits until there may be room for a pipeline, at most `patience`. False when there was none.
    pub(crate) async fn wait(&self, pipeline: &Arc<str>, patience: Duration) -> bool {
        let (wake, mut woken) = oneshot::channel();
        let say = {
            let mut taken = lock(&self.taken);
            taken.waiting.retain(|one| !one.wake.is_closed());
            taken.waiting.push_back(Waiting { pipeline: Arc::clone(pipeline), wake });
            taken.is_news(pipeline)
        };
        if say {
            tracing::warn!(
                %pipeline, instances = self.max,
                "waits for room for an instance: all that the process may have are at work. They are \
                 counted at its start: restart it if a reload has added some since; else lower the \
                 `concurrency` of pipelines, or run some in another process"
            );
        }
        if !self.evict() {
            // Something may have gone before this one waited.
            self.freed();
        }
        let found = tokio::time::timeout(patience, &mut woken).await.is_ok() || woken.try_recv().is_ok();
        if !found && let Some(share) = lock(&self.taken).pipelines.get_mut(pipeline) {
            share.in_vain = Some(Instant::now());
        }
        found
    }

    /// Whether a pipeline waits for room.
    pub(crate) fn need(&self, pipeline: &str) -> RoomNeed {
        let taken = lock(&self.taken);
        let share = taken.pipelines.get(pipeline);
        let in_vain = share.and_then(|share| share.in_vain).is_some_and(|at| at.elapsed() < COMES_AGAIN);
        let waits = taken.waiting.iter().any(|one| *one.pipeline == *pipeline && !one.wake.is_closed());
        RoomNeed {
            waits: waits || in_vain,
            waited: share.map_or(0, |share| share.waited),
            instances: self.max,
        }
    }

    /// There may be room: wakes whoever has least of those who wait.
    pub(crate) fn freed(&self) {
        let mut taken = lock(&self.taken);
        while taken.total < self.max
            && let Some(next) = taken.next()
        {
            if next.wake.send(()).is_ok() {
                return;
            }
        }
    }

    /// Whether somebody waits.
    fn is_wanted(&self) -> bool {
        lock(&self.taken).waiting.iter().any(|one| !one.wake.is_closed())
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

impl Share {
    fn is_without(&self) -> bool {
        self.held == 0 && self.handlers > 0
    }
}

impl Taken {
    fn held(&self, pipeline: &str) -> usize {
        self.pipelines.get(pipeline).map_or(0, |share| share.held)
    }

    /// The first for each comes before a second for anybody.
    fn has_room(&self, pipeline: &str, max: usize) -> bool {
        if self.held(pipeline) == 0 {
            return self.total < max;
        }
        self.total.saturating_add(self.without) < max
    }

    /// Of those who wait one of the pipeline that has least, the longest of them.
    fn next(&mut self) -> Option<Waiting> {
        let places = self.waiting.iter().enumerate();
        let (place, _) = places.min_by_key(|(place, one)| (self.held(&one.pipeline), *place))?;
        self.waiting.remove(place)
    }

    /// Counts a wait; whether it is to be said.
    fn is_news(&mut self, pipeline: &Arc<str>) -> bool {
        let share = self.pipelines.entry(Arc::clone(pipeline)).or_default();
        share.waited += 1;
        let now = Instant::now();
        let news = share.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
        if news {
            share.said = Some(now);
        }
        news
    }

    /// One instance, or one handler, more or less. A pipeline is forgotten with the last of both.
    fn change(&mut self, pipeline: &Arc<str>, change: impl FnOnce(&mut Share)) {
        let share = self.pipelines.entry(Arc::clone(pipeline)).or_default();
        let before = usize::from(share.is_without());
        change(share);
        self.without = self.without.saturating_sub(before) + usize::from(share.is_without());
        if share.held == 0 && share.handlers == 0 {
            self.pipelines.remove(pipeline);
        }
    }
}

impl Drop for InstancePermit {
    fn drop(&mut self) {
        let mut taken = lock(&self.room.taken);
        taken.total = taken.total.saturating_sub(1);
        taken.change(&self.pipeline, |share| share.held = share.held.saturating_sub(1));
        drop(taken);
        self.room.freed();
    }
}

impl Idle {
    /// The instance that was used last, since its memory is the warmest.
    pub(crate) fn take(&self) -> Option<Instance> {
        lock(&self.list).pop()
    }

    /// Keeps an instance for the next chunk, unless somebody waits for room.
    pub(crate) fn put(&self, mut instance: Instance) {
        instance.release();
        let wanted = self.room.is_wanted();
        let mut list = lock(&self.list);
        let surplus = if list.len() < self.keep && !wanted {
            list.push(instance);
            None
        } else {
            Some(instance)
        };
        drop(list);
        drop(surplus);
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        lock(&self.room.taken)
            .change(&self.pipeline, |share| share.handlers = share.handlers.saturating_sub(1));
    }
}

/// A panic while a list was held cannot leave it broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    fn room(max: usize, pipelines: &[&str]) -> (Arc<InstancePool>, Vec<Arc<Idle>>) {
        let room = Arc::new(InstancePool::new(max));
        let lists = pipelines.iter().map(|name| room.list(&Arc::from(*name), 4)).collect();
        (room, lists)
    }

    #[test]
    fn the_last_place_is_for_a_pipeline_that_has_none() {
        let (room, lists) = room(4, &["a", "b"]);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let held: Vec<InstancePermit> = std::iter::from_fn(|| room.enter(&a, false)).collect();
        assert_eq!(held.len(), 3);
        let one = room.enter(&b, false).unwrap();
        assert!(room.enter(&b, false).is_none() && room.enter(&a, true).is_none());
        drop(one);
        // A pipeline that has ended wants none.
        drop(lists);
        assert!(room.enter(&a, false).is_some());
    }

    fn is_pending<F: Future>(task: Pin<&mut F>) -> bool {
        task.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn who_has_least_comes_first_and_nobody_passes_those_who_wait() {
        let (room, _lists) = room(3, &["a", "b"]);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut held = vec![room.enter(&a, false).unwrap(), room.enter(&a, false).unwrap()];
        held.push(room.enter(&b, false).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let patience = Duration::from_secs(30);
            let (mut first, mut second) = (pin!(room.wait(&a, patience)), pin!(room.wait(&b, patience)));
            assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()), "both wait now");
            assert_eq!(room.need("a"), RoomNeed { waits: true, waited: 1, instances: 3 });
            drop(held.pop());
            assert!(second.await, "it has none, and the other has two");
            assert!(room.enter(&a, false).is_none(), "another one of its kind waits");
            held.push(room.enter(&b, true).unwrap());
            drop(held.remove(0));
            assert!(first.await);
            held.push(room.enter(&a, true).unwrap());
            assert!(!room.need("a").waits && !room.need("nobody").waits, "it found room");
            assert!(!room.wait(&a, Duration::from_millis(1)).await);
            assert_eq!(
                room.need("a"),
                RoomNeed { waits: true, waited: 2, instances: 3 },
                "and comes again"
            );
            assert!(!room.need("b").waits);
        });
    }
}
