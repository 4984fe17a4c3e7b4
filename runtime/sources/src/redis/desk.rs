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

/// Jobs of one round trip.
const BATCH: usize = 4_096;
/// Things that one command names.
pub const MANY: usize = 256;
const DOING: &str = "acknowledging";

/// What is to be told to the server.
pub struct Job {
    pub place: Place,
    pub kind: Kind,
    /// Who waits for the answer, if anybody does.
    pub answer: Option<oneshot::Sender<Result<(), Class>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The receipt with which it is acknowledged.
    Ack(u64),
    Renew,
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
        let mut batch = vec![first];
        // What has come meanwhile goes along.
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        match perform(&*broker, &mut connection, &batch).await {
            Ok(lost) => {
                failures = 0;
                shared.works(DOING);
                for job in batch {
                    let is_lost = job.kind == Kind::Renew && lost.contains(&job.place);
                    answer(shared, job, if is_lost { Err(Class::Lost) } else { Ok(()) });
                }
            }
            Err(fault) => {
                connection = None;
                failures += 1;
                shared.complain(DOING, &fault);
                batch.into_iter().for_each(|job| answer(shared, job, Err(Fault::CLASS)));
                shared.pause(backoff(failures).min(Duration::from_secs(1))).await;
            }
        }
        shared.room.notify_one();
    }
}

fn answer(shared: &Shared, job: Job, result: Result<(), Class>) {
    if let Kind::Ack(receipt) = job.kind {
        shared.shelf().settled(receipt, result.is_ok());
    }
    if let Some(answer) = job.answer {
        // Who asked may have gone.
        answer.send(result).unwrap_or_default();
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
    let acked: Vec<Held> = {
        let shelf = broker.shared().shelf();
        let held = |job: &Job| match job.kind {
            Kind::Ack(receipt) => shelf.get(receipt).cloned(),
            Kind::Renew => None,
        };
        batch.iter().filter_map(held).collect()
    };
    if !acked.is_empty() {
        broker.ack(open, &acked).await?;
    }
    // What is being settled is off the pending list, or about to be: it is not put back.
    let renewed: Vec<Place> = {
        let shelf = broker.shared().shelf();
        let is_ours = |job: &&Job| job.kind == Kind::Renew && shelf.is_renewable(job.place);
        batch.iter().filter(is_ours).map(|job| job.place).collect()
    };
    for some in renewed.chunks(MANY) {
        lost.extend(broker.renew(open, some).await?);
    }
    Ok(lost)
}
