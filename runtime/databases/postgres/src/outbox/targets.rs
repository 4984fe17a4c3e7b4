//! What this process knows of the targets it sends to: what waits, and whether it has the turn.

use super::poll;
use crate::client::Sessions;
use crate::effects::Names;
use pelton_core::effects::{Backlog, Target};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// The targets of a worker.
pub(crate) struct Outlets {
    pub sessions: Arc<Sessions>,
    pub names: Arc<Names>,
    /// Who this worker is, for turns: its data directory, which one process has at a time.
    pub data_dir: Arc<str>,
    targets: Mutex<BTreeMap<Target, Arc<Outlet>>>,
    /// Something is to be asked soon.
    pub soon: Notify,
}

/// One target.
pub(crate) struct Outlet {
    pub target: Target,
    known: Mutex<Known>,
    committed: Notify,
}

#[derive(Default)]
struct Known {
    backlog: Backlog,
    /// The highest row that was seen.
    last: i64,
    /// A relay of this process asks for it.
    wanted: bool,
    turns: u64,
    /// Until when the turn is ours, by the clock of this process.
    until: Option<Instant>,
    bound: Bound,
}

/// Up to where all rows are known to have appeared, and who may still add some below a later one.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bound {
    pub row: i64,
    /// The highest row that was there when these held the lock.
    pub next: Option<(i64, Vec<String>)>,
}

impl Bound {
    /// What is known once the highest row was seen, and after that who holds the lock.
    pub fn moves(&mut self, last: i64, holders: Vec<String>) {
        if let Some((row, before)) = &self.next
            && !before.iter().any(|holder| holders.contains(holder))
        {
            self.row = self.row.max(*row);
            self.next = None;
        }
        if holders.is_empty() {
            self.row = self.row.max(last);
            self.next = None;
        } else if self.next.is_none() && last > self.row {
            self.next = Some((last, holders));
        }
    }
}

impl Outlets {
    /// None yet. The task that asks for them begins with the first.
    pub fn new(sessions: Arc<Sessions>, names: Arc<Names>, data_dir: Arc<str>) -> Arc<Self> {
        let targets = Mutex::default();
        Arc::new(Self { sessions, names, data_dir, targets, soon: Notify::new() })
    }

    /// Knows a target from now on.
    pub fn open(self: &Arc<Self>, target: Target) -> Arc<Outlet> {
        let mut targets = self.targets();
        let is_first = targets.is_empty();
        let make = || Arc::new(Outlet { target, known: Mutex::default(), committed: Notify::new() });
        let outlet = targets.entry(target).or_insert_with(make).clone();
        drop(targets);
        if is_first {
            drop(self.sessions.server().runtime().spawn(poll::run(Arc::downgrade(self))));
        }
        self.soon.notify_one();
        outlet
    }

    pub fn of(&self, target: Target) -> Option<Arc<Outlet>> {
        self.targets().get(&target).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Outlet>> {
        self.targets().values().cloned().collect()
    }

    /// Messages for these were committed by this process.
    pub fn added(&self, targets: impl Iterator<Item = Target>) {
        for target in targets {
            if let Some(outlet) = self.of(target) {
                outlet.known().backlog.rows += 1;
                outlet.committed.notify_one();
            }
        }
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<Target, Arc<Outlet>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn backlog(&self) -> Backlog {
        self.known().backlog
    }

    /// What waits was counted.
    pub fn counted(&self, backlog: Backlog, last: i64) {
        let mut known = self.known();
        let grown = last > known.last;
        (known.backlog, known.last) = (backlog, known.last.max(last));
        drop(known);
        if grown {
            self.committed.notify_one();
        }
    }

    /// Messages have ended.
    pub fn ended(&self, count: u64) {
        let mut known = self.known();
        known.backlog.rows = known.backlog.rows.saturating_sub(count);
    }

    /// A relay of this process asks for it, or none does any more; whether that is new.
    pub fn wants(&self, wanted: bool) -> bool {
        std::mem::replace(&mut self.known().wanted, wanted) != wanted
    }

    pub fn is_wanted(&self) -> bool {
        self.known().wanted
    }

    /// Which of our turns it is; none while it is not ours.
    pub fn turn(&self) -> Option<u64> {
        let known = self.known();
        known.until.is_some_and(|until| Instant::now() < until).then_some(known.turns)
    }

    /// The turn is ours until then, or is not.
    pub fn has_turn(&self, until: Option<Instant>) {
        let had = self.turn().is_some();
        let mut known = self.known();
        if until.is_some() && !had {
            known.turns += 1;
            known.bound = Bound::default();
        }
        known.until = until;
        drop(known);
        if had != until.is_some() {
            self.committed.notify_one();
        }
    }

    pub fn bound(&self) -> Bound {
        self.known().bound.clone()
    }

    /// Rows up to the highest that was seen can be read, unless one of these was adding others.
    pub fn bound_moves(&self, last: i64, holders: Vec<String>) -> Bound {
        let mut known = self.known();
        known.bound.moves(last, holders);
        known.bound.clone()
    }

    pub async fn committed(&self) {
        self.committed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;

    fn holders(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rows_are_handed_out_once_nobody_can_add_one_below() {
        let mut bound = Bound::default();
        bound.moves(5, holders(&[]));
        assert_eq!(bound.row, 5);
        bound.moves(9, holders(&["a", "b"]));
        assert_eq!(bound.row, 5, "both may be about to add 6, 7 or 8");
        bound.moves(12, holders(&["b", "c"]));
        assert_eq!(bound.row, 5);
        bound.moves(14, holders(&["c"]));
        assert_eq!(bound.row, 9, "those that were there have ended; one that came later may add 10");
        bound.moves(20, holders(&["d"]));
        assert_eq!(bound.row, 14);
        bound.moves(20, holders(&[]));
        assert_eq!(bound.row, 20);
    }
}
