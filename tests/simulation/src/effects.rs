//! State and what changes it: what handlers see, what the ledger commits, and whether some order of the
//! messages, one after another, would have led there.
//!
//! Each key has a list of numbers. A handler reads a list and writes it again with its message's number at
//! its end; or reads it, and does nothing. So a list tells whose writes it has seen.

use crate::random::Random;
use pelton_core::effects::{
    Bucket, Effects, Seen, Shown, Staged, Stamp, StateError, StateHome, Value, Write,
};
use pelton_core::ports::{BoxFuture, Claim, Completion, ErrorClass};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys that messages share.
const KEYS: u64 = 3;
const BUCKET: Bucket = Bucket(1);

/// A list, and what it was written with.
type Listed = (Stamp, Vec<u8>);

/// What is not committed and can be read: the last shown counts.
#[derive(Debug, Default)]
struct ShownWrites {
    by_number: BTreeMap<u64, Vec<Write>>,
    shows: u64,
}

/// Who keeps state.
#[derive(Debug, Clone, Default)]
pub struct Home {
    committed: Arc<Mutex<BTreeMap<Vec<u8>, Listed>>>,
    shown: Arc<Mutex<ShownWrites>>,
    stamps: Arc<AtomicU64>,
}

/// Hides what is shown when it is dropped.
struct Guard(Arc<Mutex<ShownWrites>>, u64);

impl Drop for Guard {
    fn drop(&mut self) {
        lock(&self.0).by_number.remove(&self.1);
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StateHome for Home {
    fn read<'a>(&'a self, _: Bucket, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<Vec<Value>, StateError>> {
        let value = |key: &Vec<u8>| {
            let (stamp, list) = self.see(key);
            Value { bytes: (stamp != Stamp::ABSENT).then_some(list), stamp }
        };
        Box::pin(std::future::ready(Ok(keys.iter().map(value).collect())))
    }

    fn keys<'a>(
        &'a self,
        _: Bucket,
        _: Option<&'a [u8]>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, StateError>> {
        Box::pin(std::future::ready(Ok(lock(&self.committed).keys().cloned().collect())))
    }

    fn size(&self, _: Bucket) -> BoxFuture<'_, Result<u64, StateError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn stamp(&self) -> Stamp {
        Stamp(self.stamps.fetch_add(1, Relaxed) + 1)
    }

    fn show(&self, writes: &[Write]) -> Shown {
        let mut shown = lock(&self.shown);
        shown.shows += 1;
        let number = shown.shows;
        shown.by_number.insert(number, writes.to_vec());
        Shown::by(Guard(self.shown.clone(), number))
    }
}

impl Home {
    /// The same as another worker has it: that one sees what is committed, and of the rest its own.
    pub fn of_another_worker(&self) -> Self {
        Self { shown: Arc::default(), ..self.clone() }
    }

    /// A key as a message sees it.
    fn see(&self, key: &[u8]) -> Listed {
        let shown = lock(&self.shown);
        let shown = shown.by_number.values().rev().flatten().find(|write| write.key == key);
        let shown = shown.map(|write| (write.stamp, write.value.clone().unwrap_or_default()));
        let committed = || lock(&self.committed).get(key).cloned();
        shown.or_else(committed).unwrap_or((Stamp::ABSENT, Vec::new()))
    }

    /// What one call of these messages stages. Shown from then on.
    pub fn stage(&self, of: &[usize], random: &mut Random) -> Option<Staged> {
        let mut effects = Effects::default();
        for n in of {
            for _ in 0..random.below(3) {
                self.touch(&mut effects, *n, random);
            }
        }
        effects.show_by(self);
        Staged::of(effects, of.len() as u32)
    }

    fn touch(&self, effects: &mut Effects, n: usize, random: &mut Random) {
        let key = vec![random.below(KEYS) as u8];
        let own = effects.writes.iter_mut().find(|write| write.key == key);
        let (stamp, mut list) = match &own {
            Some(write) => (write.stamp, write.value.clone().unwrap_or_default()),
            None => self.see(&key),
        };
        if own.is_none() && effects.reads.iter().all(|seen| seen.key != key) {
            effects.reads.push(Seen { bucket: BUCKET, key: key.clone(), stamp });
        }
        if random.once_in(3) || list.contains(&(n as u8)) {
            return;
        }
        list.push(n as u8);
        let value = Some(list);
        match own {
            Some(write) => write.value = value,
            None => effects.writes.push(Write { bucket: BUCKET, key, value, stamp: self.stamp() }),
        }
    }

    /// An operator writes a key as it is: whoever has read it meets a conflict.
    pub fn disturb(&self, random: &mut Random) {
        let stamp = self.stamp();
        let key = vec![random.below(KEYS) as u8];
        lock(&self.committed).entry(key).or_insert((stamp, Vec::new())).0 = stamp;
    }

    fn stands(&self, effects: &Effects) -> bool {
        let committed = lock(&self.committed);
        let now = |seen: &Seen| committed.get(&seen.key).map_or(Stamp::ABSENT, |(stamp, _)| *stamp);
        effects.reads.iter().all(|seen| now(seen) == seen.stamp)
    }

    fn commit(&self, effects: &Effects) {
        let mut committed = lock(&self.committed);
        for write in &effects.writes {
            let list = write.value.clone().unwrap_or_default();
            committed.insert(write.key.clone(), (write.stamp, list));
        }
    }

    /// The process dies: nothing is shown any more, by whomever.
    pub fn died(&self) {
        lock(&self.shown).by_number.clear();
    }

    /// Whether one of these calls has read what another one shows, which is not among them.
    pub fn is_behind(&self, calls: &[&Effects]) -> bool {
        let shown = lock(&self.shown);
        let among =
            |stamp: Stamp| calls.iter().any(|of| of.writes.iter().any(|write| write.stamp == stamp));
        let is_seen = |write: &Write, seen: &Seen| write.key == seen.key && write.stamp == seen.stamp;
        let is_ahead = |seen: &Seen| {
            let mut all = shown.by_number.values().flatten();
            all.any(|write| is_seen(write, seen) && !among(seen.stamp))
        };
        calls.iter().flat_map(|of| &of.reads).any(is_ahead)
    }

    /// How many calls are shown.
    pub fn shown(&self) -> usize {
        lock(&self.shown).by_number.len()
    }
}

/// How the ledger is broken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Broken {
    /// It commits what it can of a call.
    pub halves: bool,
    /// It looks at no stamp.
    pub blind: bool,
}

/// What is to become of completions: those of one call together, and behind one that is `open` none.
pub fn judge(
    home: &Home,
    items: &[Completion],
    live: impl Fn(Claim) -> bool,
    open: impl Fn(Claim) -> bool,
    broken: Broken,
) -> Vec<Result<(), ErrorClass>> {
    let (mut results, mut ended) = (vec![Err(ErrorClass::Conflict); items.len()], BTreeSet::new());
    let mut place = 0;
    while place < items.len() {
        let call = call(&items[place..]);
        let of = &items[place..place + call];
        let is_live = |claim: Claim| live(claim) && !ended.contains(&claim);
        let staged = of[0].effects.as_ref();
        let whole = staged.is_none_or(|staged| staged.messages as usize == call);
        let all_live = of.iter().all(|item| is_live(item.claim));
        let first =
            of.iter().all(|item| item.after.is_none_or(|claim| !open(claim) || ended.contains(&claim)));
        let stands = broken.blind || staged.is_none_or(|staged| home.stands(&staged.effects));
        let holds = whole && all_live && first && stands;
        let mut committed = Vec::new();
        for (item, result) in of.iter().zip(&mut results[place..]) {
            if !is_live(item.claim) {
                *result = Err(ErrorClass::LeaseLost);
            } else if holds && !(broken.halves && committed.len() * 2 >= call && call > 1) {
                *result = Ok(());
                committed.push(item.claim);
            }
        }
        if let Some(staged) = staged.filter(|_| !committed.is_empty()) {
            home.commit(&staged.effects);
        }
        ended.extend(committed);
        place += call;
    }
    results
}

/// How many of these are of the same call as the first.
fn call(items: &[Completion]) -> usize {
    let Some(first) = items[0].effects.as_ref().filter(|staged| staged.messages > 1) else { return 1 };
    items.iter().take_while(|item| item.effects.as_ref() == Some(first)).count()
}

/// The books of what was committed: whether one message after another would have led there.
#[derive(Debug, Default)]
pub struct Serial {
    lists: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What was written with each stamp.
    written: BTreeMap<u64, Vec<u8>>,
}

impl Serial {
    /// Effects are committed; what is wrong with that.
    pub fn commits(&mut self, effects: &Effects) -> Option<String> {
        for seen in &effects.reads {
            let saw = self.written.get(&seen.stamp.0).cloned();
            let is = self.lists.get(&seen.key).cloned().unwrap_or_default();
            // What an operator wrote is what was there.
            if seen.stamp != Stamp::ABSENT && saw.as_ref().is_some_and(|saw| *saw != is) {
                return Some(format!("it saw {saw:?} under {:?}, and there is {is:?}", seen.key));
            }
            if seen.stamp == Stamp::ABSENT && !is.is_empty() {
                return Some(format!("it saw nothing under {:?}, and there is {is:?}", seen.key));
            }
        }
        for write in &effects.writes {
            let list = write.value.clone().unwrap_or_default();
            let is = self.lists.get(&write.key).cloned().unwrap_or_default();
            if !list.starts_with(&is) {
                return Some(format!("it writes {list:?} under {:?}, over {is:?}", write.key));
            }
            self.written.insert(write.stamp.0, list.clone());
            self.lists.insert(write.key.clone(), list);
        }
        None
    }
}
