//! A queue for commands that wait: how it stands, letters. All of it blocks.

use super::action::Needs;
use super::calls::Entries;
use super::client::{Connection, patient};
use super::dead_letter_record::{DeadLetterRecord, kept};
use super::fault::{Fault, is_denied};
use super::options::{BATCH, is_fifo, seconds};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
    QueueAttributeName as Attribute,
};
use pelton_broker_common::blocking::BlockingRuntime;
use pelton_core::ports::ErrorClass;
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

/// How a queue is made, and how it stands. Counts are approximate, as the service says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueFacts {
    /// Its address in policies.
    pub arn: String,
    /// Whether it keeps the order of its groups.
    pub fifo: bool,
    /// Messages that may be received.
    pub visible: u64,
    /// Messages that somebody holds, or that wait for a retry.
    pub in_flight: u64,
    /// Messages that were sent with a delay.
    pub delayed: u64,
    /// How long a message is kept.
    pub retention: Duration,
    /// The queue's own visibility timeout.
    pub visibility: Duration,
    /// The largest message that it takes, in bytes; 0 where the service does not say.
    pub max_message: u64,
    /// Where it puts what was received too often.
    pub redrive: Option<Redrive>,
    /// The key that it is encrypted with, if that is one of its owner's: its use must be allowed.
    pub key: Option<String>,
}

/// The queue's own policy of giving up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The queue that it gives to.
    pub target_arn: String,
    /// After so many receives.
    pub max_receives: u32,
}

impl QueueFacts {
    /// What is not settled, whoever holds it.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.visible.saturating_add(self.in_flight).saturating_add(self.delayed)
    }

    fn of(attributes: &HashMap<Attribute, String>) -> Self {
        let text = |name: Attribute| attributes.get(&name).map(String::as_str).unwrap_or_default();
        let number = |name: Attribute| super::convert::number(text(name)).unwrap_or(0);
        Self {
            arn: text(Attribute::QueueArn).to_owned(),
            fifo: text(Attribute::FifoQueue) == "true",
            visible: number(Attribute::ApproximateNumberOfMessages),
            in_flight: number(Attribute::ApproximateNumberOfMessagesNotVisible),
            delayed: number(Attribute::ApproximateNumberOfMessagesDelayed),
            retention: Duration::from_secs(number(Attribute::MessageRetentionPeriod)),
            visibility: Duration::from_secs(number(Attribute::VisibilityTimeout)),
            max_message: number(Attribute::MaximumMessageSize),
            redrive: redrive(text(Attribute::RedrivePolicy)),
            key: Some(text(Attribute::KmsMasterKeyId).to_owned()).filter(|key| !key.is_empty()),
        }
    }
}

fn redrive(policy: &str) -> Option<Redrive> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let max = &policy["maxReceiveCount"];
    // Written as a number, or as a text of one.
    let max_receives = max.as_u64().or_else(|| max.as_str()?.parse().ok())?;
    Some(Redrive {
        target_arn: policy["deadLetterTargetArn"].as_str()?.to_owned(),
        max_receives: u32::try_from(max_receives).unwrap_or(u32::MAX),
    })
}

pub async fn facts(client: &Client, queue_url: &str) -> Result<QueueFacts, Fault> {
    let call = client.get_queue_attributes().queue_url(queue_url).attribute_names(Attribute::All);
    let told = call.send().await.map_err(|error| Fault::of(&error))?;
    Ok(QueueFacts::of(&told.attributes.unwrap_or_default()))
}

/// What a call was refused for that this identity may not make.
fn denied<T, E>(answer: &Result<T, SdkError<E>>) -> Option<String>
where
    E: ProvideErrorMetadata + Error + Needs + 'static,
{
    let error = answer.as_ref().err()?;
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code)?;
    is_denied(code).then(|| Fault::of(error).words)
}

/// One queue. Not within a tokio runtime.
pub struct QueueAdmin {
    pub(super) runtime: BlockingRuntime,
    pub(super) connection: Connection,
    pub(super) queue_url: String,
}

impl QueueAdmin {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// In words: a thread or a socket cannot be had.
    pub fn open(queue_url: &str, connection: Connection) -> Result<Self, String> {
        let runtime = BlockingRuntime::new();
        let runtime = runtime.map_err(|error| format!("the SQS client cannot work here: {error}"))?;
        Ok(Self { runtime, connection, queue_url: queue_url.to_owned() })
    }

    /// How the queue stands.
    ///
    /// # Errors
    /// In words: the service does not answer, or refuses.
    pub fn facts(&self) -> Result<QueueFacts, String> {
        let facts = async { facts(self.connection.client().await, &self.queue_url).await };
        self.runtime.block_on(facts).map_err(|fault| fault.words)
    }

    /// Why this identity may not send to the queue; none when it may, as far as is known. An empty batch is
    /// asked to be sent: the service looks at the permission, and refuses the batch for what it is.
    #[must_use]
    pub fn may_not_send(&self) -> Option<String> {
        let sent = self.runtime.block_on(async {
            let client = self.connection.client().await;
            client
                .send_message_batch()
                .queue_url(&self.queue_url)
                .set_entries(Some(Vec::new()))
                .send()
                .await
        });
        denied(&sent)
    }

    /// The same of what a worker does with what it has received.
    #[must_use]
    pub fn may_not_settle(&self) -> Vec<String> {
        let (deleted, changed) = self.runtime.block_on(async {
            let (client, url) = (self.connection.client().await, &self.queue_url);
            let deleted = client.delete_message_batch().queue_url(url).set_entries(Some(Vec::new()));
            let changed = client.change_message_visibility_batch().queue_url(url);
            (deleted.send().await, changed.set_entries(Some(Vec::new())).send().await)
        });
        denied(&deleted).into_iter().chain(denied(&changed)).collect()
    }

    /// Whether the queue keeps the order of its groups.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        is_fifo(&self.queue_url)
    }

    /// Up to `most` letters, and ten, that nobody holds; they are invisible to others for `hold`. Waits for
    /// a second for one.
    ///
    /// # Errors
    /// In words: the service does not answer, or refuses.
    pub fn take(&self, most: usize, hold: Duration) -> Result<Vec<DeadLetterRecord>, String> {
        let wait = Duration::from_secs(1);
        let taken = async {
            let call = self.connection.client().await.receive_message().queue_url(&self.queue_url);
            let call = call
                .max_number_of_messages(i32::try_from(most.clamp(1, BATCH)).unwrap_or(1))
                .visibility_timeout(seconds(hold))
                .wait_time_seconds(seconds(wait))
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All);
            call.customize().config_override(patient(wait)).send().await.map_err(|error| Fault::of(&error))
        };
        let told = self.runtime.block_on(taken).map_err(|fault| fault.words)?;
        Ok(told.messages.unwrap_or_default().iter().filter_map(kept).collect())
    }

    /// Removes letters that were taken, by their handles; how many: some may not be ours any more.
    ///
    /// # Errors
    /// In words: the service does not answer, or refuses.
    pub fn remove(&self, handles: &[String]) -> Result<u64, String> {
        let mut gone = 0;
        for some in handles.chunks(BATCH) {
            let removed = self.runtime.block_on(self.remove_some(some)).map_err(|fault| fault.words)?;
            gone += removed;
        }
        Ok(gone)
    }

    async fn remove_some(&self, handles: &[String]) -> Result<u64, Fault> {
        let client = self.connection.client().await;
        let entry = |(number, handle): (usize, &String)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(handle).build().ok()
        };
        let entries = handles.iter().enumerate().filter_map(entry).collect();
        let call = client.delete_message_batch().queue_url(&self.queue_url).set_entries(Some(entries));
        let told = call.send().await.map_err(|error| Fault::of(&error))?;
        let mut fates = Entries::of(told.successful().iter().map(|entry| entry.id()), told.failed());
        let mut gone = 0;
        for (number, handle) in handles.iter().enumerate() {
            let removed = match fates.take(number) {
                Ok(()) => Ok(()),
                Err(failed) if failed.for_good => Err(failed.fault),
                Err(_) => {
                    let call = client.delete_message().queue_url(&self.queue_url).receipt_handle(handle);
                    call.send().await.map(drop).map_err(|error| Fault::of(&error))
                }
            };
            match removed {
                Ok(()) => gone += 1,
                Err(fault) if fault.class == ErrorClass::LeaseLost => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(gone)
    }

    /// Lets others see letters that were taken. When that fails, they see them once their time is up.
    pub fn give_back(&self, handles: &[String]) {
        for some in handles.chunks(BATCH) {
            let entry = |(number, handle): (usize, &String)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
                entry.receipt_handle(handle).visibility_timeout(0).build().ok()
            };
            let entries = some.iter().enumerate().filter_map(entry).collect();
            let given = async {
                let client = self.connection.client().await;
                let call = client.change_message_visibility_batch().queue_url(&self.queue_url);
                call.set_entries(Some(entries)).send().await.map(drop).map_err(|error| Fault::of(&error))
            };
            if let Err(fault) = self.runtime.block_on(given) {
                tracing::debug!("letters could not be given back: {}", fault.words);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_the_service_and_as_emulators_write_them() {
        let arn = "arn:aws:sqs:eu-central-1:123456789012:orders-dlq";
        for max in ["3", "\"3\""] {
            let policy = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":{max}}}");
            assert_eq!(redrive(&policy), Some(Redrive { target_arn: arn.into(), max_receives: 3 }));
        }
        assert_eq!(redrive(""), None);
    }
}
