//! Calls of a handler that had several messages and staged something. The ledger is asked to complete all
//! messages of a call at once, and asked again for all at once: they complete in one transaction, or all of
//! them run again.

use super::entry::Slot;
use crate::effects::Staged;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The calls of which something is to be completed.
#[derive(Debug, Default)]
pub struct Calls {
    calls: BTreeMap<usize, Call>,
    /// Messages that wait for others of their call.
    waiting: usize,
}

#[derive(Debug)]
struct Call {
    /// As long as this is here, no other call has its number.
    _staged: Staged,
    /// Its chunk.
    chunk: u64,
    /// Its messages that the ledger may be asked for.
    ready: Vec<Slot>,
    /// Its messages that have not ended.
    left: usize,
    /// The ledger was asked.
    asked: bool,
    /// One of its messages will not complete: so none will.
    broken: bool,
}

/// What becomes of a message that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathered {
    /// Others of its call are not.
    Waits,
    /// All of them are.
    All,
    /// One of them will not complete.
    Broken,
}

/// The number of a call with several messages; none of any other.
pub fn number(staged: Option<&Staged>) -> Option<usize> {
    staged.filter(|staged| staged.messages > 1).map(|staged| Arc::as_ptr(&staged.effects).addr())
}

impl Calls {
    fn of(&mut self, call: usize, staged: &Staged, chunk: u64) -> &mut Call {
        self.calls.entry(call).or_insert_with(|| Call {
            _staged: staged.clone(),
            chunk,
            ready: Vec::new(),
            left: staged.messages as usize,
            asked: false,
            broken: false,
        })
    }

    /// The ledger may be asked for a message, or asked again.
    pub fn gathers(&mut self, call: usize, staged: &Staged, chunk: u64, slot: Slot) -> Gathered {
        let of = self.of(call, staged, chunk);
        if of.broken {
            return Gathered::Broken;
        }
        of.ready.push(slot);
        let is_last = of.ready.len() == of.left;
        self.waiting += 1;
        if is_last { Gathered::All } else { Gathered::Waits }
    }

    /// Those that the ledger is asked for now.
    pub fn ask(&mut self, call: usize) -> Vec<Slot> {
        let Some(of) = self.calls.get_mut(&call) else { return Vec::new() };
        of.asked = true;
        let slots = std::mem::take(&mut of.ready);
        self.waiting -= slots.len();
        slots
    }

    /// One has ended: by being completed, or so that the others cannot be. These are then to run again.
    pub fn ended(&mut self, call: usize, staged: &Staged, chunk: u64, completed: bool) -> Vec<Slot> {
        let of = self.of(call, staged, chunk);
        of.left = of.left.saturating_sub(1);
        of.broken |= !completed;
        let others = if of.broken { std::mem::take(&mut of.ready) } else { Vec::new() };
        if of.left == 0 {
            self.calls.remove(&call);
        }
        self.waiting -= others.len();
        others
    }

    /// Everything of a chunk was reported: what waits for others of its call that were not.
    pub fn cut_short(&mut self, chunk: u64) -> Vec<Slot> {
        let mut slots = Vec::new();
        for of in self.calls.values_mut().filter(|of| of.chunk == chunk && !of.asked && !of.broken) {
            of.broken = true;
            // Those that were not reported never end.
            of.left = of.ready.len();
            slots.append(&mut of.ready);
        }
        self.waiting -= slots.len();
        slots
    }

    /// How many wait for others of their call.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether a message waits for others of its call.
    pub fn is_waiting(&self, call: usize, slot: Slot) -> bool {
        self.calls.get(&call).is_some_and(|of| of.ready.contains(&slot))
    }

    /// Whether nothing is known of any call.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}
