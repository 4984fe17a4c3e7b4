//! What handlers have written that is not committed yet, for those that read meanwhile. Each home of state
//! has one of these, whatever it keeps the rest in.

#![allow(
    clippy::disallowed_types,
    reason = "a home's, which threads of handlers share: no pipeline has it in its state"
)]

use super::{Bucket, Effects, Seen, Shown, Stamp, Value, Write};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Stamps of this process. Numbers from a random one on: 64 bits, so that no two processes meet while a
/// message is handled, which is as long as a stamp is remembered outside of its row.
#[derive(Debug)]
pub struct Stamps(AtomicU64);

impl Stamps {
    /// From this number on, which is to be a random one.
    #[must_use]
    pub fn from(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// One that nobody has had.
    pub fn next(&self) -> Stamp {
        loop {
            let stamp = Stamp(self.0.fetch_add(1, Ordering::Relaxed));
            if stamp != Stamp::ABSENT {
                return stamp;
            }
        }
    }
}

/// A value that is shown; none for a key that is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownValue {
    value: Option<Arc<[u8]>>,
    stamp: Stamp,
}

impl From<ShownValue> for Value {
    fn from(shown: ShownValue) -> Self {
        Self { bytes: shown.value.map(|bytes| bytes.to_vec()), stamp: shown.stamp }
    }
}

/// By store and key, the writes that are shown now, the latest last.
type Writes = BTreeMap<Bucket, BTreeMap<Arc<[u8]>, Vec<ShownWrite>>>;

/// The writes of this process that are shown.
///
/// Who reads looks here first, and at the database after that. A write leaves this place after its commit, so
/// that one of the two has it at any time.
///
/// What has read a shown write holds only once that one has committed: it is *behind* it, until the write
/// goes, which is when it is handed over to be committed and nothing can overtake it, or until it is not
/// shown any more. Whoever is behind something has ended after it. So no two are behind each other.
#[derive(Default)]
pub struct Overlay(Mutex<Shows>);

#[derive(Default)]
struct Shows {
    writes: Writes,
    /// Those that are behind something.
    waiting: Vec<Waker>,
}

struct ShownWrite {
    value: Option<Arc<[u8]>>,
    /// The write's own, also of a removal.
    stamp: Stamp,
    /// It is handed over to be committed.
    goes: bool,
}

impl ShownWrite {
    /// What a reader has noted of it.
    fn seen(&self) -> Stamp {
        if self.value.is_some() { self.stamp } else { Stamp::ABSENT }
    }
}

/// Hides what one call has shown.
struct Guard {
    overlay: Arc<Overlay>,
    writes: Vec<(Bucket, Arc<[u8]>, Stamp)>,
}

impl Overlay {
    fn shows(&self) -> MutexGuard<'_, Shows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is shown, and lets those look again that are behind something.
    fn change(&self, change: impl FnOnce(&mut Writes)) {
        let mut shows = self.shows();
        change(&mut shows.writes);
        let waiting = std::mem::take(&mut shows.waiting);
        drop(shows);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether a call has read what another one shows that does not go yet.
    #[must_use]
    pub fn is_behind(&self, effects: &Effects) -> bool {
        self.shows().is_behind(effects)
    }

    /// Waits until a call is behind nothing. Whatever it has read, nobody waits for it meanwhile.
    pub async fn nothing_ahead(&self, effects: &Effects) {
        poll_fn(|context| {
            let mut shows = self.shows();
            if !shows.is_behind(effects) {
                return Poll::Ready(());
            }
            shows.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// What a call has written is handed over to be committed, or, `goes` being false, comes back from there.
    pub fn goes(&self, effects: &Effects, goes: bool) {
        if effects.writes.is_empty() {
            return;
        }
        self.change(|writes| {
            for write in &effects.writes {
                let of = writes.get_mut(&write.bucket).and_then(|of| of.get_mut(&*write.key));
                let shown = of.and_then(|all| all.iter_mut().find(|shown| shown.stamp == write.stamp));
                shown.into_iter().for_each(|shown| shown.goes = goes);
            }
        });
    }

    /// What is shown of keys, in their order. All are looked up at one time.
    #[must_use]
    pub fn of(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Vec<Option<ShownValue>> {
        let shows = self.shows();
        let Some(of) = shows.writes.get(&bucket) else { return vec![None; keys.len()] };
        let shown = |key: &Vec<u8>| {
            let write = of.get(&**key)?.last()?;
            Some(ShownValue { value: write.value.clone(), stamp: write.seen() })
        };
        keys.iter().map(shown).collect()
    }

    /// Shows writes until what it gives is dropped.
    pub fn show(self: &Arc<Self>, writes: &[Write]) -> Shown {
        // Copied before anybody has to wait.
        let copied = writes.iter().map(|write| {
            let value = write.value.as_deref().map(Into::into);
            let shown = ShownWrite { value, stamp: write.stamp, goes: false };
            (write.bucket, Arc::<[u8]>::from(&*write.key), shown)
        });
        let copied: Vec<_> = copied.collect();
        let mut hides = Vec::with_capacity(copied.len());
        let mut shows = self.shows();
        for (bucket, key, shown) in copied {
            hides.push((bucket, key.clone(), shown.stamp));
            shows.writes.entry(bucket).or_default().entry(key).or_default().push(shown);
        }
        drop(shows);
        Shown::by(Guard { overlay: self.clone(), writes: hides })
    }

    /// Nothing is shown.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.shows().writes.is_empty()
    }
}

impl Shows {
    fn is_behind(&self, effects: &Effects) -> bool {
        if self.writes.is_empty() {
            return false;
        }
        let own = |shown: &ShownWrite| effects.writes.iter().any(|write| write.stamp == shown.stamp);
        let is_ahead = |seen: &Seen| {
            let of = self.writes.get(&seen.bucket).and_then(|of| of.get(&*seen.key));
            // The latest that looks like what was seen: a key may have been removed twice.
            let seen =
                of.and_then(|all| all.iter().rfind(|shown| shown.seen() == seen.stamp && !own(shown)));
            seen.is_some_and(|shown| !shown.goes)
        };
        effects.reads.iter().any(is_ahead)
    }
}

impl Guard {
    fn hide(writes: Vec<(Bucket, Arc<[u8]>, Stamp)>, all: &mut Writes) {
        for (bucket, key, stamp) in writes {
            let Some(of) = all.get_mut(&bucket) else { continue };
            if let Entry::Occupied(mut shown) = of.entry(key) {
                let writes = shown.get_mut();
                // In the order of commit, which is mostly that of showing: the first is found first.
                if let Some(place) = writes.iter().position(|write| write.stamp == stamp) {
                    writes.remove(place);
                }
                if writes.is_empty() {
                    shown.remove();
                }
            }
            if of.is_empty() {
                all.remove(&bucket);
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let writes = std::mem::take(&mut self.writes);
        self.overlay.change(|all| Self::hide(writes, all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Bucket = Bucket(1);

    fn write(key: &str, value: Option<&str>, stamp: u64) -> Write {
        let value = value.map(|value| value.as_bytes().to_vec());
        Write { bucket: BUCKET, key: key.as_bytes().to_vec(), value, stamp: Stamp(stamp) }
    }

    fn shown(overlay: &Overlay, key: &str) -> Option<(Option<String>, u64)> {
        let found = overlay.of(BUCKET, &[key.as_bytes().to_vec()]).remove(0);
        found.map(|shown| {
            let text = |v: Arc<[u8]>| String::from_utf8_lossy(&v).into_owned();
            (shown.value.map(text), shown.stamp.0)
        })
    }

    #[test]
    fn no_write_has_the_stamp_of_what_is_not_there() {
        let stamps = Stamps::from(u64::MAX);
        assert_eq!([stamps.next(), stamps.next()], [Stamp(u64::MAX), Stamp(1)]);
    }

    #[test]
    fn the_latest_write_is_shown_and_what_is_dropped_shows_the_one_below() {
        let overlay = Arc::new(Overlay::default());
        let first = overlay.show(&[write("a", Some("1"), 1), write("b", Some("1"), 2)]);
        let second = overlay.show(&[write("a", None, 3)]);
        let third = overlay.show(&[write("a", Some("3"), 4)]);
        assert_eq!(shown(&overlay, "a"), Some((Some("3".into()), 4)));
        drop(third);
        assert_eq!(shown(&overlay, "a"), Some((None, 0)), "a removal is shown as absent");
        drop(first);
        assert_eq!(shown(&overlay, "a"), Some((None, 0)));
        assert_eq!(shown(&overlay, "b"), None);
        drop(second);
        assert!(overlay.is_empty());
    }

    fn read(key: &str, stamp: u64) -> Effects {
        let seen = Seen { bucket: BUCKET, key: key.as_bytes().to_vec(), stamp: Stamp(stamp) };
        Effects { reads: vec![seen], ..Effects::default() }
    }

    fn written(writes: Vec<Write>) -> Effects {
        Effects { writes, ..Effects::default() }
    }

    #[test]
    fn what_has_read_a_shown_write_is_behind_it_until_it_goes_or_is_hidden() {
        let overlay = Arc::new(Overlay::default());
        let first = written(vec![write("a", Some("1"), 1), write("b", None, 2)]);
        let shown = overlay.show(&first.writes);
        let behind =
            || [("a", 1), ("a", 7), ("b", 0), ("c", 0)].map(|(k, s)| overlay.is_behind(&read(k, s)));
        assert_eq!(behind(), [true, false, true, false]);
        overlay.goes(&first, true);
        assert_eq!(behind(), [false; 4]);
        overlay.goes(&first, false);
        assert_eq!(behind(), [true, false, true, false], "it comes back from there");
        drop(shown);
        assert_eq!(behind(), [false; 4]);
    }

    #[test]
    fn nothing_is_behind_itself() {
        let overlay = Arc::new(Overlay::default());
        let own = Effects { reads: read("a", 0).reads, ..written(vec![write("a", None, 3)]) };
        let _shown = overlay.show(&own.writes);
        assert!(!overlay.is_behind(&own) && overlay.is_behind(&read("a", 0)));
    }

    #[test]
    fn who_waits_is_woken_by_each_change() {
        let overlay = Arc::new(Overlay::default());
        let first = written(vec![write("a", Some("1"), 1)]);
        let shown = overlay.show(&first.writes);
        let reader = read("a", 1);
        let mut waits = Box::pin(overlay.nothing_ahead(&reader));
        let context = &mut std::task::Context::from_waker(Waker::noop());
        assert!(waits.as_mut().poll(context).is_pending());
        assert_eq!(overlay.shows().waiting.len(), 1);
        drop(shown);
        assert!(overlay.shows().waiting.is_empty() && waits.as_mut().poll(context).is_ready());
    }
}
