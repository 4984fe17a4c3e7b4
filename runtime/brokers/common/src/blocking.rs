//! A runtime for who waits for what a client does.

use tokio::runtime::{Builder, Runtime};

/// A runtime of one thread, that of who waits. It may be dropped anywhere, on a thread of another runtime
/// too: a relay ends there.
#[derive(Debug)]
pub struct BlockingRuntime(Option<Runtime>);

impl BlockingRuntime {
    /// A new one.
    ///
    /// # Errors
    /// A socket cannot be had.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Some(Builder::new_current_thread().enable_all().build()?)))
    }

    /// Waits for it. Not within a runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.0 {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("only its end takes it away"),
        }
    }
}

impl Drop for BlockingRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn it_ends_on_a_thread_of_another_runtime() {
        let waits = || {
            let runtime = BlockingRuntime::new().unwrap();
            (runtime.block_on(async { 7 }), runtime)
        };
        let (seven, runtime) = tokio::task::spawn_blocking(waits).await.unwrap();
        drop(runtime);
        assert_eq!(seven, 7);
    }
}
