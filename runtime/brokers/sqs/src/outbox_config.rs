//! Queues that an outbox sends to, as they are configured.

use crate::config::{QueueConfig, required_queue};
use crate::options::is_fifo;
use crate::publish::{LONGEST_DELAY_MS, SqsPublisher};
use pelton_core::broker::{Diagnosis, OpenError, OutboxTarget, Publisher, Settings};
use pelton_core::effects::StagedMessage;

/// A queue to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsTarget(pub QueueConfig);

/// Takes the table of a target apart.
pub fn configure_target(settings: &dyn Settings) -> SqsTarget {
    SqsTarget(required_queue(settings))
}

impl OutboxTarget for SqsTarget {
    fn describe(&self) -> String {
        format!("sqs {}", self.0.name())
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>() == Some(self)
    }

    /// Whatever may be wrong is known only when the service is asked.
    fn probe(&self) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self) -> Diagnosis {
        let found = self.0.open().map(|admin| admin.may_not_send());
        let problems = found.map_or_else(|why| vec![why], |refused| refused.into_iter().collect());
        Diagnosis { problems, ..Diagnosis::default() }
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        if message.topic.is_some() {
            return Some("is one queue of SQS; leave the topic out".to_owned());
        }
        let keyless = is_fifo(&self.0.url) && message.key.is_none();
        keyless.then(|| "is a FIFO queue, which takes no message without a key".to_owned())
    }

    /// A FIFO queue delays all its messages alike, and none by itself.
    fn longest_delay_ms(&self) -> u64 {
        if is_fifo(&self.0.url) { 0 } else { LONGEST_DELAY_MS }
    }

    fn most(&self) -> usize {
        10
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(SqsPublisher::open(&self.0).map_err(OpenError::Refused)?))
    }
}
