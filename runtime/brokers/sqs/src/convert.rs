//! A message of the service, as a delivery.

use super::attributes::{self, ENCODING};
use super::options::{SqsOptions, queue_name};
use aws_sdk_sqs::types::{Message as Received, MessageSystemAttributeName as System};
use pelton_core::hash::hash_of;
use pelton_core::{Channel, Header, HeaderList, Lane, Message, Name, Parts, letter};
use std::collections::HashMap;
use std::num::IntErrorKind;
use std::sync::Arc;

/// The attribute with the id that a message has, where its producer gave one, or a replay gave it back.
pub const MESSAGE_ID: &str = "pelton-message-id";
/// The attribute with the time it was published, in milliseconds since the epoch, where that is not the
/// time it was sent.
pub const PUBLISHED_AT: &str = "pelton-published-at-ms";
/// Bytes of an id.
const MAX_ID: usize = 512;

/// The header of the only attribute of the service's own that a sender gives: where a message stands in a
/// trace. It goes along with letters and replays.
pub const TRACE: &str = "sqs.aws-trace-header";

/// The headers that the service's own attributes arrive as.
const SYSTEM: [(System, &str); 9] = [
    (System::ApproximateFirstReceiveTimestamp, "sqs.first-receive-timestamp"),
    (System::ApproximateReceiveCount, "sqs.receive-count"),
    (System::AwsTraceHeader, TRACE),
    (System::DeadLetterQueueSourceArn, "sqs.dead-letter-queue-source-arn"),
    (System::MessageDeduplicationId, "sqs.message-deduplication-id"),
    (System::MessageGroupId, "sqs.message-group-id"),
    (System::SenderId, "sqs.sender-id"),
    (System::SentTimestamp, "sqs.sent-timestamp"),
    (System::SequenceNumber, "sqs.sequence-number"),
];
/// What their names begin with. A producer's attributes of such names give way.
pub const SYSTEM_PREFIX: &str = "sqs.";

/// What a received message is.
pub struct Converted {
    pub message: Message,
    /// Where the queue keeps its order.
    pub lane: Option<Lane>,
    /// How often the service has delivered it, this time included.
    pub receives: u32,
}

/// What the messages of a queue come through.
pub fn channel(options: &SqsOptions) -> Arc<Channel> {
    Arc::new(Channel::new(&options.pipeline, queue_name(&options.queue_url)))
}

/// Takes a message apart.
pub fn message(received: &Received, options: &SqsOptions, channel: &Arc<Channel>) -> Converted {
    let system = |name: &System| received.attributes().and_then(|all| all.get(name)).map(String::as_str);
    let group = system(&System::MessageGroupId);
    let none = HashMap::new();
    let (mut headers, ours) = attributes::unpack(received.message_attributes().unwrap_or(&none));
    let replay = ours.get(letter::REPLAY);
    headers.extend(replay.map(|id| header(letter::REPLAY, id)));
    headers.extend(SYSTEM.iter().filter_map(|(name, as_header)| Some(header(as_header, system(name)?))));
    let text = received.body().unwrap_or_default();
    let body = attributes::body_of(text, ours.get(ENCODING).copied());
    let id = ours.get(MESSAGE_ID).copied().filter(|id| is_message_id(id)).or(received.message_id());
    let sent = system(&System::SentTimestamp);
    let published = ours.get(PUBLISHED_AT).and_then(|text| number(text));
    let message = Message::new(Parts {
        channel,
        // Without any it is at least no other message.
        name: Name::Text(id.or(received.receipt_handle()).unwrap_or_default()),
        key: group.map(str::as_bytes),
        headers: headers.iter().collect::<HeaderList>().view(),
        body: body.as_deref().unwrap_or(text.as_bytes()),
        published_at_ms: published.or_else(|| number(sent?)),
        replayed: replay.is_some(),
        tombstone: false,
    });
    let receives = system(&System::ApproximateReceiveCount).and_then(number).unwrap_or(1);
    let receives = u32::try_from(receives).unwrap_or(u32::MAX);
    // On a standard queue a group is for fairness, and promises no order.
    let lane = group.filter(|_| options.is_fifo()).map(Lane::of);
    Converted { message, lane, receives }
}

/// Which message it is among those with one id, by the service's own.
pub fn instance(id: &str) -> u64 {
    hash_of(id)
}

/// A number that the service tells, which sends all of them as text. One that is too large for us is the
/// largest; one below zero is none at all.
pub fn number(text: &str) -> Option<u64> {
    match text.parse::<i128>() {
        Ok(number) if number < 0 => None,
        Ok(number) => Some(u64::try_from(number).unwrap_or(u64::MAX)),
        Err(error) => (*error.kind() == IntErrorKind::PosOverflow).then_some(u64::MAX),
    }
}

/// Whether a message may have this id.
#[must_use]
pub fn is_message_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && !id.contains(char::is_control)
}

fn header(name: &str, value: &str) -> Header {
    Header::new(name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_whatever_their_size() {
        let largest = Some(u64::MAX);
        let nines = "9".repeat(60);
        for (text, read) in [
            ("60", Some(60)),
            ("5000000000", Some(5_000_000_000)),
            ("18446744073709551616", largest),
            (&nines, largest),
            ("-1", None),
            ("", None),
            ("1e3", None),
            ("many", None),
        ] {
            assert_eq!(number(text), read, "{text}");
        }
    }
}
