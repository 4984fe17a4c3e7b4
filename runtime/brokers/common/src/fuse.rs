//! What runs for one source beside the calls of its port: threads and tasks. The first panic of one of them
//! is kept for the pipeline, which ends.

use pelton_core::contain::Panicked;
use pelton_core::contain::contain;
use pelton_core::contain::contained;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Blows with the first panic.
#[derive(Debug, Default)]
pub struct Fuse {
    panicked: Mutex<Option<Panicked>>,
    blown: Notify,
}

impl Fuse {
    /// Does `work`; none when it panicked, in what is named.
    pub fn contain<T>(&self, what: &str, work: impl FnOnce() -> T) -> Option<T> {
        contain(work).map_err(|panicked| self.blow(panicked.at(what))).ok()
    }

    /// Does `work`; none when it panicked, in what is named.
    pub async fn contained<F: Future>(&self, what: &str, work: F) -> Option<F::Output> {
        contained(work).await.map_err(|panicked| self.blow(panicked.at(what))).ok()
    }

    /// Begins a task whose panic blows it.
    pub fn spawn(
        self: &Arc<Self>,
        what: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let fuse = self.clone();
        tokio::spawn(async move { fuse.contained(what, task).await.unwrap_or_default() })
    }

    fn blow(&self, panicked: Panicked) {
        self.state().get_or_insert(panicked);
        self.blown.notify_one();
    }

    /// Waits until it is blown. One waits at a time.
    pub async fn blown(&self) -> Panicked {
        loop {
            let panicked = self.state().clone();
            if let Some(panicked) = panicked {
                return panicked;
            }
            // A panic meanwhile has left a permit.
            self.blown.notified().await;
        }
    }

    /// Whether it is.
    pub fn is_blown(&self) -> bool {
        self.state().is_some()
    }

    fn state(&self) -> MutexGuard<'_, Option<Panicked>> {
        self.panicked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
