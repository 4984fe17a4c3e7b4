//! Counts what is asked of the service, since every request is paid for: tries again too.

use aws_sdk_sqs::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sqs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sqs::error::BoxError;
use pelton_core::ports::Counted;
use std::sync::atomic::{AtomicU64, Ordering};

/// The calls that are told apart, by the end of their names, and what their counts are called.
const KINDS: [(&[&str], &str); 5] = [
    (&["ReceiveMessage"], "receive_requests"),
    (&["DeleteMessage", "DeleteMessageBatch"], "delete_requests"),
    (&["ChangeMessageVisibility", "ChangeMessageVisibilityBatch"], "visibility_requests"),
    (&["SendMessage", "SendMessageBatch"], "send_requests"),
    (&["GetQueueAttributes"], "attributes_requests"),
];
/// The header that names the call: `AmazonSQS.ReceiveMessage`.
const TARGET: &str = "x-amz-target";

/// Requests so far, by kind.
#[derive(Debug, Default)]
pub struct Requests([AtomicU64; KINDS.len()]);

impl Requests {
    fn count(&self, target: &str) {
        let name = target.rsplit('.').next().unwrap_or(target);
        let kind = KINDS.iter().position(|(names, _)| names.contains(&name));
        if let Some(count) = kind.and_then(|kind| self.0.get(kind)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each kind, with its number.
    pub fn counted(&self) -> Counted {
        let number =
            |((_, name), count): (&(_, &'static str), &AtomicU64)| (*name, count.load(Ordering::Relaxed));
        KINDS.iter().zip(&self.0).map(number).collect()
    }
}

/// Sees each request right before it is sent.
#[derive(Debug)]
pub struct Counting(pub std::sync::Arc<Requests>);

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "pelton-requests"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request().headers().get(TARGET).into_iter().for_each(|target| self.0.count(target));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_kind() {
        let requests = Requests::default();
        for call in ["ReceiveMessage", "DeleteMessageBatch", "DeleteMessage", "ListQueues"] {
            requests.count(&format!("AmazonSQS.{call}"));
        }
        let numbers: Vec<u64> = requests.counted().into_iter().map(|(_, number)| number).collect();
        assert_eq!(numbers, [1, 2, 0, 0, 0]);
    }
}
