//! Limits of one instance's memories and tables, summed over all of them, and of what the host keeps for it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::ResourceLimiter;

/// Table elements of one instance. Script interpreters need about 30,000.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// Core instances of one component. Script languages link some 20 libraries.
pub(crate) const CORE_INSTANCES: u32 = 64;
/// Tables of one component.
pub(crate) const TABLES: u32 = 32;
/// Linear memories of one component.
pub(crate) const MEMORIES: u32 = 4;
/// Bytes that one call may make the host allocate for strings and lists.
pub(crate) const HOSTCALL_BYTES: usize = 4 << 20;
/// Handles that may live at once, and resources behind them: at most so many, and fewer with little memory.
const HANDLES: usize = 4096;
/// The least, which a program needs at its start.
const FEWEST_HANDLES: usize = 64;
/// Memory of an instance for each of its handles. A stream, a pollable or an error takes some hundred bytes
/// of the host, so all of them together are a small part of its memory.
const MEMORY_FOR_HANDLE: usize = 4 << 10;
/// Bytes of one request for random bytes.
pub(crate) const RANDOM_BYTES: u64 = 64 << 10;

/// The same where a program reads its input itself: one read may ask for as much. What it gets at once is
/// less.
pub(crate) const PROGRAM_HOSTCALL_BYTES: usize = 32 << 20;

/// Handles of an instance with so much memory.
pub(crate) fn handles(memory: usize) -> usize {
    (memory / MEMORY_FOR_HANDLE).clamp(FEWEST_HANDLES, HANDLES)
}

/// What is known of a store's memory while its guest runs, and the store is lent to the call.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    most: AtomicUsize,
    refused: AtomicBool,
    refusal: Mutex<Option<Refusal>>,
}

/// Counts what one store has, and tells the gauge.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_max: usize,
    memory: usize,
    /// Bytes that resources of the host hold for the guest.
    hosted: usize,
    table: usize,
    /// The growth that was allowed last, to be taken back if it fails.
    last: (usize, usize),
    gauge: Arc<Gauge>,
}

/// A growth that was not allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// To so many bytes in all, of so many.
    Memory(usize, usize),
    /// The same, with what the host keeps for it.
    Hosted(usize, usize),
    /// To so many elements in all, of so many.
    Table(usize, usize),
}

impl Gauge {
    /// A new message begins: what was refused before does not explain what follows.
    pub(crate) fn forget(&self) {
        if self.refused.swap(false, Relaxed) {
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// The last refusal of this message.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most memory so far, in bytes.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    fn refuse(&self, refusal: Refusal) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        self.refused.store(true, Relaxed);
    }
}

impl Limiter {
    pub(crate) fn new(memory_max: usize, gauge: Arc<Gauge>) -> Self {
        Self { memory_max, memory: 0, hosted: 0, table: 0, last: (0, 0), gauge }
    }

    /// All that it may have, in bytes.
    pub(crate) fn memory_max(&self) -> usize {
        self.memory_max
    }

    /// Bytes of the host that could be held for the guest beside what there is.
    pub(crate) fn room(&self) -> usize {
        self.memory_max.saturating_sub(self.memory).saturating_sub(self.hosted)
    }

    /// Whether so much more of the host could be held for the guest.
    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        more <= self.room()
    }

    /// What a resource of the host holds for the guest has changed, from so many bytes to so many. Whatever
    /// a guest can make the host keep is counted here, and an error is to end the guest.
    pub(crate) fn host(&mut self, before: usize, after: usize) -> wasmtime::Result<()> {
        self.hosted = self.hosted.saturating_sub(before).saturating_add(after);
        let total = self.memory.saturating_add(self.hosted);
        if after > before && total > self.memory_max {
            let refusal = Refusal::Hosted(total, self.memory_max);
            self.gauge.refuse(refusal);
            return Err(wasmtime::Error::msg("the host keeps too much for it"));
        }
        self.gauge.most.fetch_max(total, Relaxed);
        Ok(())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(asked, max) => {
                write!(f, "growth to {asked} bytes of memory was refused, the limit is {max} bytes")
            }
            Self::Hosted(asked, max) => {
                write!(
                    f,
                    "growth to {asked} bytes of memory and of messages that the host keeps for it was \
                     refused, the limit is {max} bytes"
                )
            }
            Self::Table(asked, max) => {
                write!(f, "growth to {asked} table elements was refused, the limit is {max}")
            }
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = (self.memory - current).saturating_add(desired);
        let room = self.memory_max.saturating_sub(self.hosted);
        let max = maximum.map_or(room, |own| room.min((self.memory - current).saturating_add(own)));
        if total > max {
            self.gauge.refuse(Refusal::Memory(total, max));
            return Ok(false);
        }
        self.last = (self.memory, self.table);
        self.memory = total;
        self.gauge.most.fetch_max(total.saturating_add(self.hosted), Relaxed);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.gauge.refuse(Refusal::Memory(self.memory, self.last.0));
        (self.memory, self.table) = self.last;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = (self.table - current).saturating_add(desired);
        let max = maximum
            .map_or(TABLE_ELEMENTS, |own| TABLE_ELEMENTS.min((self.table - current).saturating_add(own)));
        if total > max {
            self.gauge.refuse(Refusal::Table(total, max));
            return Ok(false);
        }
        self.last = (self.memory, self.table);
        self.table = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.gauge.refuse(Refusal::Table(self.table, self.last.1));
        (self.memory, self.table) = self.last;
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}
