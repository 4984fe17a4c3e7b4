//! The clock that interrupts guests: one thread, parked while no guest runs.

use crate::run::instance_pool::InstancePool;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;
use wasmtime::Engine;

/// The length of a tick.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Ticks of the clock that a call may meet before it first has to yield.
pub(crate) const FIRST_TICKS: u64 = 2;
/// Ticks for which the clock goes on after the last guest, so that a worker with little to do
/// does not wake a thread for each message.
const LINGER: u32 = 20;
/// How often idle instances are looked at while there are any.
const SWEEP: Duration = Duration::from_secs(1);

/// Counts the chunks that run.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    running: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
    thread: OnceLock<Thread>,
}

/// While it lives, the clock ticks.
#[derive(Debug)]
pub(crate) struct Ticking(Arc<Clock>);

impl Clock {
    /// Starts the thread.
    pub(crate) fn start(engine: &Engine, room: &Arc<InstancePool>) -> std::io::Result<Arc<Self>> {
        let clock = Arc::new(Self::default());
        let (thread_clock, engine, room) = (Arc::clone(&clock), engine.clone(), Arc::clone(room));
        let handle = std::thread::Builder::new()
            .name("guest-clock".to_owned())
            .spawn(move || thread_clock.run(&engine, &room))?;
        if clock.thread.set(handle.thread().clone()).is_err() {
            return Err(std::io::Error::other("the clock was started twice"));
        }
        Ok(clock)
    }

    /// A chunk begins.
    pub(crate) fn enter(self: &Arc<Self>) -> Ticking {
        self.running.fetch_add(1, SeqCst);
        if self.parked.swap(false, SeqCst) {
            self.unpark();
        }
        Ticking(Arc::clone(self))
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn run(&self, engine: &Engine, room: &InstancePool) {
        let mut quiet = 0;
        while !self.stopped.load(SeqCst) {
            if self.running.load(SeqCst) > 0 {
                quiet = 0;
            } else {
                quiet += 1;
            }
            if quiet > LINGER {
                self.park(room);
            } else {
                std::thread::park_timeout(TICK);
                engine.increment_epoch();
            }
        }
    }

    /// Waits for a guest to run; meanwhile drops instances that nobody needed for a while.
    fn park(&self, room: &InstancePool) {
        self.parked.store(true, SeqCst);
        if self.running.load(SeqCst) == 0 && !self.stopped.load(SeqCst) {
            if room.drop_stale() {
                std::thread::park_timeout(SWEEP);
            } else {
                std::thread::park();
            }
        }
        self.parked.store(false, SeqCst);
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}
