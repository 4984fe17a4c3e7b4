//! Acknowledging and renewing leases, many in one round trip, on a connection that never waits for messages.

use super::fault::Fault;
use super::in_flight::{Held, ServerPosition};
use super::server::{ANSWER, backoff};
use super::shared::SourceShared;
use crate::points;
use pelton_core::ports::ErrorClass;
use redis::aio::MultiplexedConnection;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

/// Messages of one round trip, more or less.
const BATCH: usize = 4_096;
/// Things that one command names.
pub const MANY: usize = 256;
const DOING: &str = "acknowledging";

/// What is to be told to the server.
pub struct Job {
    pub what: What,
    /// Who waits for the answer, if anybody does: one for each message.
    pub answer: Option<oneshot::Sender<Vec<Result<(), ErrorClass>>>>,
}

pub enum What {
    /// Receipts that are acknowledged.
    Ack(Vec<u64>),
    Renew(Vec<ServerPosition>),
}

impl What {
    fn len(&self) -> usize {
        match self {
            Self::Ack(receipts) => receipts.len(),
            Self::Renew(places) => places.len(),
        }
    }
}

/// How a kind of source says it.
pub trait Broker: Send + Sync + 'static {
    fn shared(&self) -> &SourceShared;

    /// Removes messages for good. One that is not there any more was removed by somebody else.
    fn ack(
        &self,
        connection: &mut MultiplexedConnection,
        messages: &[Held],
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Renews leases, here too; those that are no longer ours.
    fn renew(
        &self,
        connection: &mut MultiplexedConnection,
        places: &[ServerPosition],
    ) -> impl Future<Output = Result<Vec<ServerPosition>, Fault>> + Send;
}

/// Does what is asked for, until nobody can ask any more and all is done.
pub async fn run<B: Broker>(broker: Arc<B>, mut jobs: UnboundedReceiver<Job>) {
    let (mut connection, mut failures) = (None, 0);
    let shared = broker.shared();
    while let Some(first) = jobs.recv().await {
        let mut count = first.what.len();
        let mut batch = vec![first];
        // What has come meanwhile goes along.
        while count < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            count += job.what.len();
            batch.push(job);
        }
        points::reach("redis-settle");
        let done = perform(&*broker, &mut connection, &batch).await;
        let fault = done.acked.as_ref().err().or(done.lost.as_ref().err());
        match fault {
            None => {
                failures = 0;
                shared.works(DOING);
            }
            Some(fault) => {
                connection = None;
                failures += 1;
                shared.complain(DOING, fault);
            }
        }
        batch.into_iter().for_each(|job| answer(shared, job, &done));
        if connection.is_none() {
            // A server that renews leases is not to be kept from it for long.
            let longest = Duration::from_millis(if done.lost.is_ok() { 100 } else { 1_000 });
            shared.pause(backoff(failures).min(longest)).await;
        }
        shared.room.notify_one();
    }
}

/// What became of a batch: whether all was acknowledged, and which leases were lost. A server may refuse
/// the one and do the other.
struct Done {
    acked: Result<(), Fault>,
    lost: Result<BTreeSet<ServerPosition>, Fault>,
}

/// Says what became of a job.
fn answer(shared: &SourceShared, job: Job, done: &Done) {
    let results = match &job.what {
        What::Ack(receipts) => {
            let told = if done.acked.is_ok() { Ok(()) } else { Err(Fault::CLASS) };
            let mut shelf = shared.shelf();
            receipts.iter().for_each(|receipt| shelf.settled(*receipt, told.is_ok()));
            // Something may have waited for one of them.
            shared.arrived.notify_one();
            vec![told; receipts.len()]
        }
        What::Renew(places) => {
            let told = |place| match &done.lost {
                Ok(lost) if lost.contains(place) => Err(ErrorClass::LeaseLost),
                Ok(_) => Ok(()),
                Err(_) => Err(Fault::CLASS),
            };
            places.iter().map(told).collect()
        }
    };
    if let Some(answer) = job.answer {
        // Who asked may have gone.
        answer.send(results).unwrap_or_default();
    }
}

async fn perform<B: Broker>(
    broker: &B,
    connection: &mut Option<MultiplexedConnection>,
    batch: &[Job],
) -> Done {
    let made = match connection.take() {
        Some(open) => Ok(open),
        None => broker.shared().server.connect(ANSWER).await,
    };
    let open = match made {
        Ok(made) => connection.insert(made),
        Err(fault) => return Done { acked: Err(fault.clone()), lost: Err(fault) },
    };
    let (acked, renewed) = {
        let shelf = broker.shared().shelf();
        let (mut acked, mut renewed) = (Vec::<Held>::new(), Vec::<ServerPosition>::new());
        for job in batch {
            match &job.what {
                What::Ack(receipts) => {
                    acked.extend(receipts.iter().filter_map(|receipt| shelf.get(*receipt).cloned()));
                }
                // What is being settled is off the pending list, or about to be: it is not put back.
                What::Renew(places) => {
                    renewed.extend(places.iter().filter(|place| shelf.is_renewable(**place)));
                }
            }
        }
        (acked, renewed)
    };
    let acked = if acked.is_empty() { Ok(()) } else { broker.ack(open, &acked).await };
    Done { acked, lost: renew(broker, open, &renewed).await }
}

async fn renew<B: Broker>(
    broker: &B,
    open: &mut MultiplexedConnection,
    places: &[ServerPosition],
) -> Result<BTreeSet<ServerPosition>, Fault> {
    let mut lost = BTreeSet::new();
    for some in places.chunks(MANY) {
        lost.extend(broker.renew(open, some).await?);
    }
    Ok(lost)
}
