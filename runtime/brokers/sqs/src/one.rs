//! One message of a queue, for who gives up on it. The service gives no message by its id: it is received
//! among others, which go back. Blocks.

use super::convert;
use super::fault::Fault;
use super::options::{BATCH, SqsOptions, seconds};
use super::queue_admin::QueueAdmin;
use aws_sdk_sqs::types::{Message as Received, MessageSystemAttributeName};
use pelton_core::{Lane, Message};
use std::time::{Duration, Instant};

/// How long what is received is kept from others. What was not given back by then goes back by itself.
const HOLD: Duration = Duration::from_secs(120);
/// The longest wait for a receive.
const WAIT: Duration = Duration::from_secs(1);

/// A message that was found, and is kept from others for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneMessage {
    /// The message.
    pub message: Message,
    /// Where the queue keeps its order.
    pub lane: Option<Lane>,
    /// How often the service has delivered it before.
    pub receives: u32,
    /// By which it is removed.
    pub handle: String,
}

impl QueueAdmin {
    /// Receives until the message comes whose id this is, the service's or its own, or until `patience` is
    /// over or `most` others have come. Those go back.
    ///
    /// # Errors
    /// In words: the service does not answer, or refuses.
    pub fn find(
        &self,
        id: &str,
        options: &SqsOptions,
        patience: Duration,
        most: usize,
    ) -> Result<Option<OneMessage>, String> {
        let until = Instant::now() + patience;
        let channel = convert::channel(options);
        let (mut others, mut found) = (Vec::new(), Ok(None));
        while Instant::now() < until && others.len() < most && matches!(found, Ok(None)) {
            match self.runtime.block_on(self.receive()) {
                Ok(some) => {
                    for received in some {
                        let Some(handle) = received.receipt_handle().map(str::to_owned) else { continue };
                        let one = convert::message(&received, options, &channel);
                        if matches!(found, Ok(None))
                            && (received.message_id() == Some(id) || one.message.id() == id)
                        {
                            let (message, lane, receives) = (one.message, one.lane, one.receives);
                            found = Ok(Some(OneMessage { message, lane, receives, handle }));
                        } else {
                            others.push(handle);
                        }
                    }
                }
                Err(fault) => found = Err(fault.words),
            }
        }
        self.give_back(&others);
        found
    }

    async fn receive(&self) -> Result<Vec<Received>, Fault> {
        let call = self.connection.client().await.receive_message().queue_url(&self.queue_url);
        let call = call
            .max_number_of_messages(i32::try_from(BATCH).unwrap_or(1))
            .visibility_timeout(seconds(HOLD))
            .wait_time_seconds(seconds(WAIT))
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All);
        let told = call.send().await.map_err(|error| Fault::of(&error))?;
        Ok(told.messages.unwrap_or_default())
    }
}
