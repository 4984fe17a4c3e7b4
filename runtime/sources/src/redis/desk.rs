//! Acknowledging and renewing leases, many in one round trip, on a connection that never waits for messages.

use super::fault::Fault;
use super::server::{ANSWER, backoff};
use super::shared::Shared;
use super::shelf::{Held, Place};
use pelton_core::ports::Class;
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
    pub answer: Option<oneshot::Sender<Vec<Result<(), Class>>>>,
}

pub enum What {
    /// Receipts that are acknowledged.
    Ack(Vec<u64>),
    Renew(Vec<Place>),
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
    fn shared(&self) -> &Shared;

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
        places: &[Place],
    ) -> impl Future<Output = Result<Vec<Place>, Fault>> + Send;
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
        match perform(&*broker, &mut connection, &batch).await {
            Ok(lost) => {
                failures = 0;
                shared.works(DOING);
                batch.into_iter().for_each(|job| answer(shared, job, Some(&lost)));
            }
            Err(fault) => {
                connection = None;
                failures += 1;
                shared.complain(DOING, &fault);
                batch.into_iter().for_each(|job| answer(shared, job, None));
                shared.pause(backoff(failures).min(Duration::from_secs(1))).await;
            }
        }
        shared.room.notify_one();
    }
}

/// Says what became of a job: which leases were lost, or none when the server was not reached.
fn answer(shared: &Shared, job: Job, lost: Option<&BTreeSet<Place>>) {
    let told = if lost.is_some() { Ok(()) } else { Err(Fault::CLASS) };
    let results = match &job.what {
        What::Ack(receipts) => {
            let mut shelf = shared.shelf();
            receipts.iter().for_each(|receipt| shelf.settled(*receipt, told.is_ok()));
            vec![told; receipts.len()]
        }
        What::Renew(places) => {
            let is_lost = |place| lost.is_some_and(|lost| lost.contains(place));
            places.iter().map(|place| if is_lost(place) { Err(Class::Lost) } else { told }).collect()
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
) -> Result<BTreeSet<Place>, Fault> {
    if connection.is_none() {
        *connection = Some(broker.shared().server.connect(ANSWER).await?);
    }
    let mut lost = BTreeSet::new();
    let Some(open) = connection else { return Ok(lost) };
    let (acked, renewed) = {
        let shelf = broker.shared().shelf();
        let (mut acked, mut renewed) = (Vec::<Held>::new(), Vec::<Place>::new());
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
    if !acked.is_empty() {
        broker.ack(open, &acked).await?;
    }
    for some in renewed.chunks(MANY) {
        lost.extend(broker.renew(open, some).await?);
    }
    Ok(lost)
}
