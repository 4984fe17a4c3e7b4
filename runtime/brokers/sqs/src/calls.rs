//! The calls of a batch. The service answers 200 with failed entries inside: each is looked at, and
//! tried again by itself.

use super::batch::{Answered, BatchKind, Fate, Job};
use super::fault::{Fault, is_throttling};
use super::state::SourceShared;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use pelton_core::ports::ErrorClass;
use std::collections::BTreeMap;

/// What became of each entry, by its number.
#[derive(Debug, Default)]
pub struct Entries(BTreeMap<usize, Result<(), Failed>>);

/// One entry that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    pub fault: Fault,
    /// It is refused for what it says: to say it again is of no use.
    pub for_good: bool,
}

impl Entries {
    pub fn of<'e>(good: impl Iterator<Item = &'e str>, failed: &[BatchResultErrorEntry]) -> Self {
        let number = |id: &str| id.parse().ok();
        let mut all: BTreeMap<_, _> = good.filter_map(number).map(|n| (n, Ok(()))).collect();
        for entry in failed {
            let fault = Fault::told(entry.code(), entry.message().unwrap_or_default());
            // The service has it that who asks too often is at fault.
            let for_good = entry.sender_fault() && !is_throttling(entry.code());
            let failed = Failed { fault, for_good };
            all.extend(number(entry.id()).map(|n| (n, Err(failed))));
        }
        Self(all)
    }

    /// What became of an entry. One that the answer does not name was not done, as far as anybody knows.
    pub fn take(&mut self, number: usize) -> Result<(), Failed> {
        let unnamed = || Failed {
            fault: Fault {
                class: ErrorClass::Transient,
                words: "the answer to a batch did not name one of its entries. It is tried again"
                    .to_owned(),
                unanswered: true,
            },
            for_good: false,
        };
        self.0.remove(&number).unwrap_or_else(|| Err(unnamed()))
    }
}

/// What is done here, in words.
const DELETING: &str = "deleting messages";
const CHANGING: &str = "changing how long messages are invisible";

pub async fn delete_all(shared: &SourceShared, jobs: Vec<Job>) -> Answered {
    let client = shared.connection.client().await;
    let entry = |(number, job): (usize, &Job)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
        entry.receipt_handle(&job.handle).build()
    };
    let entries = jobs.iter().enumerate().map(entry).collect::<Result<_, _>>();
    let call = client.delete_message_batch().queue_url(&shared.options.queue_url);
    let answer = match entries {
        Ok(entries) => call.set_entries(Some(entries)).send().await.map_err(|error| Fault::of(&error)),
        Err(error) => Err(unbuilt(&error)),
    };
    let answer =
        answer.map(|told| Entries::of(told.successful().iter().map(|entry| entry.id()), told.failed()));
    judge(shared, jobs, answer, DELETING)
}

pub async fn change_all(shared: &SourceShared, jobs: Vec<Job>) -> Answered {
    let client = shared.connection.client().await;
    let entry = |(number, job): (usize, &Job)| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
        entry.receipt_handle(&job.handle).visibility_timeout(visibility(job.kind)).build()
    };
    let entries = jobs.iter().enumerate().map(entry).collect::<Result<_, _>>();
    let call = client.change_message_visibility_batch().queue_url(&shared.options.queue_url);
    let answer = match entries {
        Ok(entries) => call.set_entries(Some(entries)).send().await.map_err(|error| Fault::of(&error)),
        Err(error) => Err(unbuilt(&error)),
    };
    let answer =
        answer.map(|told| Entries::of(told.successful().iter().map(|entry| entry.id()), told.failed()));
    judge(shared, jobs, answer, CHANGING)
}

fn unbuilt(error: &BuildError) -> Fault {
    Fault { class: ErrorClass::Transient, words: error.to_string(), unanswered: false }
}

fn visibility(kind: BatchKind) -> i32 {
    match kind {
        BatchKind::Visibility(seconds) | BatchKind::Extend(seconds) => seconds,
        BatchKind::Delete => 0,
    }
}

/// Tells each entry's fate.
fn judge(
    shared: &SourceShared,
    jobs: Vec<Job>,
    answer: Result<Entries, Fault>,
    doing: &'static str,
) -> Answered {
    let mut entries = match answer {
        Ok(entries) => entries,
        Err(fault) => {
            shared.complain(doing, &fault);
            return jobs.into_iter().map(|job| (job, Fate::Known(Err(fault.class)))).collect();
        }
    };
    let mut fate = |number| match entries.take(number) {
        Ok(()) => Fate::Known(Ok(())),
        Err(failed) if failed.for_good || failed.fault.class == ErrorClass::LeaseLost => {
            Fate::Known(Err(refused(shared, doing, &failed.fault)))
        }
        Err(_) => Fate::Again,
    };
    let answered: Answered =
        jobs.into_iter().enumerate().map(|(number, job)| (job, fate(number))).collect();
    if answered.iter().all(|(_, fate)| *fate != Fate::Again) {
        shared.state().works(doing);
    }
    answered
}

/// Given up on: the message is somebody else's by now, or comes again by itself.
fn refused(shared: &SourceShared, doing: &str, fault: &Fault) -> ErrorClass {
    let (pipeline, queue) = (&*shared.options.pipeline, &*shared.options.queue_url);
    tracing::info!(
        pipeline,
        queue,
        "SQS: {doing} was refused for one message: {}. If it is not gone it comes again, and the ledger \
         knows what became of it",
        fault.words
    );
    ErrorClass::LeaseLost
}

/// One entry once more, by itself.
pub async fn alone(shared: &SourceShared, job: Job) -> Answered {
    let doing = if job.kind == BatchKind::Delete { DELETING } else { CHANGING };
    let result = match call_alone(shared, &job).await {
        Ok(()) => {
            shared.state().works(doing);
            Ok(())
        }
        Err(fault) if fault.class == ErrorClass::LeaseLost => Err(refused(shared, doing, &fault)),
        Err(fault) => {
            shared.complain(doing, &fault);
            Err(fault.class)
        }
    };
    vec![(job, Fate::Known(result))]
}

async fn call_alone(shared: &SourceShared, job: &Job) -> Result<(), Fault> {
    let (client, queue_url) = (shared.connection.client().await, &shared.options.queue_url);
    if job.kind == BatchKind::Delete {
        let call = client.delete_message().queue_url(queue_url).receipt_handle(&job.handle);
        return call.send().await.map(drop).map_err(|error| Fault::of(&error));
    }
    let call = client.change_message_visibility().queue_url(queue_url).receipt_handle(&job.handle);
    let call = call.visibility_timeout(visibility(job.kind));
    call.send().await.map(drop).map_err(|error| Fault::of(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_entry_of_an_answer_is_looked_at() {
        let failed = |id: &str, code: &str, sender| {
            let entry = BatchResultErrorEntry::builder().id(id).code(code).sender_fault(sender);
            entry.build().unwrap()
        };
        let failed = [
            failed("1", "InternalError", false),
            failed("2", "ReceiptHandleIsInvalid", true),
            failed("4", "ThrottlingException", true),
        ];
        let mut entries = Entries::of(["0", "nonsense"].into_iter(), &failed);
        assert!(entries.take(0).is_ok());
        let own = entries.take(1).unwrap_err();
        assert_eq!((own.for_good, own.fault.class), (false, ErrorClass::Transient));
        let lost = entries.take(2).unwrap_err();
        assert_eq!((lost.for_good, lost.fault.class), (true, ErrorClass::LeaseLost));
        assert!(!entries.take(4).unwrap_err().for_good, "what is asked for too often is asked for again");
        assert!(entries.take(3).unwrap_err().fault.unanswered, "what nobody mentions was not done");
    }
}
