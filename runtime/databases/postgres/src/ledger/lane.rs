//! Requests that wait for one another's exchange: what has arrived while one is under way goes into the next
//! together.

use std::future::Future;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Items of the requests of one exchange, at most (one request is never divided).
const MOST: usize = 4_096;

/// How much a request adds to an exchange.
pub trait Weighs {
    /// Its items.
    fn items(&self) -> usize;
}

/// The way to the task that does the exchanges. It ends when nobody has the way any more.
pub struct Lane<J> {
    jobs: UnboundedSender<J>,
}

impl<J: Weighs + Send + 'static> Lane<J> {
    /// Begins it: `exchange` is given what has arrived, and answers each itself.
    pub fn begin<F>(runtime: &Handle, exchange: impl Fn(Vec<J>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (jobs, arriving) = unbounded_channel();
        drop(runtime.spawn(drive(arriving, exchange)));
        Self { jobs }
    }

    /// Asks. What nobody answers any more was dropped: its answer is then that of one who is away.
    pub fn ask(&self, job: J) {
        // The task ends with the runtime, at the very end of a worker.
        drop(self.jobs.send(job));
    }
}

async fn drive<J, F>(mut arriving: UnboundedReceiver<J>, exchange: impl Fn(Vec<J>) -> F)
where
    J: Weighs,
    F: Future<Output = ()>,
{
    while let Some(first) = arriving.recv().await {
        let mut items = first.items();
        let mut jobs = vec![first];
        while items < MOST
            && let Ok(job) = arriving.try_recv()
        {
            items += job.items();
            jobs.push(job);
        }
        exchange(jobs).await;
    }
}
