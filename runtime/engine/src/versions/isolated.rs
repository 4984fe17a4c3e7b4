//! The same versions for a pipeline that runs beside: it follows every swap, and tries nothing out.

use super::{HandlerVersion, Inner};
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

struct Isolated {
    of: Arc<Inner>,
    runs: Mutex<Runs>,
}

/// Handlers of its own, one for each version that it has met.
struct Runs {
    version: Weak<HandlerVersion>,
    handler: Arc<dyn Handler>,
    /// Perhaps still at work.
    old: Vec<Weak<dyn Handler>>,
}

/// None when the versions cannot tell apart who gave them what.
pub(super) fn new(of: &Arc<Inner>) -> Option<Arc<dyn Handler>> {
    let stable = of.slots().stable.clone();
    let handler = stable.handler.isolated_handle()?;
    let runs = Runs { version: Arc::downgrade(&stable), handler, old: Vec::new() };
    Some(Arc::new(Isolated { of: of.clone(), runs: Mutex::new(runs) }))
}

impl Isolated {
    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handler of the version that takes messages now.
    fn newest(&self) -> Arc<dyn Handler> {
        let stable = self.of.slots().stable.clone();
        let mut runs = self.runs();
        if !std::ptr::eq(runs.version.as_ptr(), Arc::as_ptr(&stable))
            && let Some(handler) = stable.handler.isolated_handle()
        {
            let old = std::mem::replace(&mut runs.handler, handler);
            runs.version = Arc::downgrade(&stable);
            runs.old.retain(|other| other.strong_count() > 0);
            runs.old.push(Arc::downgrade(&old));
        }
        runs.handler.clone()
    }
}

impl Handler for Isolated {
    fn digest(&self) -> Arc<str> {
        self.newest().digest()
    }

    fn max_chunk(&self) -> usize {
        self.of.max_chunk
    }

    fn takes_batches(&self) -> bool {
        self.newest().takes_batches()
    }

    fn chunk_us(&self) -> u64 {
        self.of.chunk_us
    }

    fn handle(&self, work: Vec<Work>, report: Report) -> BoxFuture<'static, ()> {
        let handler = self.newest();
        Box::pin(async move { handler.handle(work, report).await })
    }

    fn interrupt(&self) {
        let runs = self.runs();
        let old = runs.old.iter().filter_map(Weak::upgrade);
        std::iter::once(runs.handler.clone()).chain(old).for_each(|handler| handler.interrupt());
    }
}
