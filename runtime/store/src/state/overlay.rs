//! What handlers have written that is not committed yet, for those that read meanwhile.

use pelton_core::effects::{Bucket, Shown, Stamp, Write};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A value that is shown; none for a key that is removed.
pub type ShownValue = (Option<Arc<[u8]>>, Stamp);

/// By store and key, the writes that are shown now, the latest last.
type Writes = HashMap<Bucket, HashMap<Arc<[u8]>, Vec<ShownWrite>>>;

/// The writes of this process that are shown.
///
/// Who reads looks here first, and at the database after that. A write leaves this place after its commit, so
/// that one of the two has it at any time.
#[derive(Default)]
pub struct Overlay(Mutex<Writes>);

struct ShownWrite {
    value: Option<Arc<[u8]>>,
    /// The write's own, also of a removal.
    stamp: Stamp,
}

/// Hides what one call has shown.
struct Guard {
    overlay: Arc<Overlay>,
    writes: Vec<(Bucket, Arc<[u8]>, Stamp)>,
}

impl Overlay {
    fn writes(&self) -> MutexGuard<'_, Writes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is shown of keys, in their order. All are looked up at one time.
    pub fn of(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Vec<Option<ShownValue>> {
        let writes = self.writes();
        let Some(of) = writes.get(&bucket) else { return vec![None; keys.len()] };
        let shown = |key: &Vec<u8>| {
            let write = of.get(&**key)?.last()?;
            let stamp = if write.value.is_some() { write.stamp } else { Stamp::ABSENT };
            Some((write.value.clone(), stamp))
        };
        keys.iter().map(shown).collect()
    }

    /// Shows writes until what it gives is dropped.
    pub fn show(self: &Arc<Self>, writes: &[Write]) -> Shown {
        // Copied before anybody has to wait.
        let copied = writes.iter().map(|write| {
            let shown = ShownWrite { value: write.value.as_deref().map(Into::into), stamp: write.stamp };
            (write.bucket, Arc::<[u8]>::from(&*write.key), shown)
        });
        let copied: Vec<_> = copied.collect();
        let mut hides = Vec::with_capacity(copied.len());
        let mut all = self.writes();
        for (bucket, key, shown) in copied {
            hides.push((bucket, key.clone(), shown.stamp));
            all.entry(bucket).or_default().entry(key).or_default().push(shown);
        }
        drop(all);
        Shown::by(Guard { overlay: self.clone(), writes: hides })
    }

    /// Nothing is shown.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.writes().is_empty()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut all = self.overlay.writes();
        for (bucket, key, stamp) in self.writes.drain(..) {
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
        found.map(|(value, stamp)| (value.map(|v| String::from_utf8_lossy(&v).into_owned()), stamp.0))
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
}
