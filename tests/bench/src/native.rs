//! The measured function as a handler of its own, in the sandbox's place: what is left between the two
//! is the price of the sandbox.

use crate::work;
use pelton_core::Outcome;
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use std::sync::Arc;

/// Calls the function, on a thread that may block.
pub struct Native;

impl Handler for Native {
    fn digest(&self) -> Arc<str> {
        "native".into()
    }

    fn max_chunk(&self) -> usize {
        256
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let digest = self.digest();
        let call = move || {
            let call = |(place, work): (usize, &Work)| {
                std::hint::black_box(work::run(work.message.body()));
                (place, Outcome::Ok(None))
            };
            report(&digest, work.iter().enumerate().map(call).collect());
        };
        let called = tokio::task::spawn_blocking(call);
        // What did not report is a failed attempt to the core, and voids the row.
        Box::pin(async move { drop(called.await) })
    }

    fn interrupt(&self) {}
}
