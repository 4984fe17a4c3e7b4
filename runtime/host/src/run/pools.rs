//! The threads that run guests: a fast pool for what is short, a slow one for what is not.
//!
//! A guest that runs or waits for long is moved, in the middle of its call, to threads that yield
//! the processor to everything else; so a short message never waits behind a long one.

use crate::run::control::Control;
use crate::run::threads;
use pelton_core::ports::BoxFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::{Builder, Handle, Runtime};

/// Niceness of the slow pool: about 3 % of the processor when the fast one wants all of it. With 10, a
/// tenth, four spinning guests took 18 to 23 % of a busy neighbour: the share, and the waiting for it.
const SLOW_NICE: i32 = 15;
/// Niceness of a thread that loads a component: a quarter of what a busy thread gets.
const LOAD_NICE: i32 = 5;

/// Both pools. Ends its threads when dropped, without waiting for guests.
#[derive(Debug)]
pub(crate) struct Pools {
    fast: Option<Runtime>,
    slow: Option<Runtime>,
    slow_handle: Handle,
    fast_handle: Handle,
}

/// Runs a chunk on the fast pool until it is slow.
struct Movable {
    chunk: Option<BoxFuture<'static, ()>>,
    control: Arc<Control>,
    slow: Handle,
}

impl Pools {
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let fast = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("guest")
            .enable_time()
            .build()?;
        let slow = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("guest-slow")
            .enable_time()
            .on_thread_start(|| be_nice(SLOW_NICE))
            .build()?;
        Ok(Self {
            fast_handle: fast.handle().clone(),
            slow_handle: slow.handle().clone(),
            fast: Some(fast),
            slow: Some(slow),
        })
    }

    /// Runs `chunk` to its end, on the slow pool from when `control` says that it is slow.
    pub(crate) fn spawn(&self, control: Arc<Control>, chunk: BoxFuture<'static, ()>, begins_slow: bool) {
        if begins_slow {
            drop(self.slow_handle.spawn(chunk));
            return;
        }
        drop(self.fast_handle.spawn(Movable {
            chunk: Some(chunk),
            control,
            slow: self.slow_handle.clone(),
        }));
    }
}

/// Does something on a thread of its own, at low priority, and waits for it. None when there can be no
/// thread.
pub(crate) fn at_low_priority<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let nicely = || {
            be_nice(LOAD_NICE);
            work()
        };
        let thread = std::thread::Builder::new().name("pelton-load".to_owned()).spawn_scoped(scope, nicely);
        thread.ok()?.join().ok()
    })
}

/// Lowers the priority of the calling thread.
fn be_nice(nice: i32) {
    if let Err(error) = threads::yield_to_others(nice) {
        tracing::warn!(%error, "a thread stays at normal priority");
    }
}

impl Future for Movable {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(chunk) = self.chunk.as_mut() else {
            return Poll::Ready(());
        };
        if chunk.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !self.control.is_slow() {
            return Poll::Pending;
        }
        if let Some(chunk) = self.chunk.take() {
            drop(self.slow.spawn(chunk));
        }
        Poll::Ready(())
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        for runtime in [self.fast.take(), self.slow.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}
