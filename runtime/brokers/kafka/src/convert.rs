//! A record, as a delivery.

use super::headers::{self, Unreadable};
use super::options::{KafkaOptions, Order};
use super::partition::Partition;
use super::receipt::{MAX_OFFSET, Ticket};
use pelton_core::{Delivery, HeaderList, Headers, Lane, Message, Name, Parts, Position};
use rdkafka::message::{BorrowedMessage, Message as _};

/// The header of a record that an operator replays. It is not the producer's, and not handed on.
pub const REPLAYED: &str = "pelton-replayed";

/// The header of such a record with the id that its message had. It is the producer's word, as ids of
/// other brokers are: what the ledger knows a record by is its place.
pub const MESSAGE_ID: &str = "pelton-message-id";

/// The header of such a record with the time its message was published, in milliseconds since the epoch.
/// The record's own time is that of its replay: with an old one the topic might drop it unread.
pub const PUBLISHED_AT: &str = "pelton-published-at-ms";

/// Of a record whose headers the client library does not give out.
const UNREADABLE: &str = "its headers cannot be read: there are more than the 100,000 that the Kafka \
    client takes, or \
    they are damaged. This letter has none of them; the record is in its topic for as long as that keeps \
    it. Have \
    its producer send fewer, or read it there with another client";

/// Bytes of an id.
const MAX_ID: usize = 512;

/// None for an offset beyond what a receipt can name.
pub fn delivery(
    record: &BorrowedMessage<'_>,
    place: u64,
    partition: &Partition,
    options: &KafkaOptions,
) -> Option<Delivery> {
    let offset = u64::try_from(record.offset()).ok().filter(|o| *o < MAX_OFFSET)?;
    let (mut headers, unreadable) = match headers::read(record) {
        Ok(headers) => (headers, None),
        Err(Unreadable) => (HeaderList::default(), Some(UNREADABLE)),
    };
    let replayed = headers.view().find(REPLAYED).is_some();
    let (mut former, mut published_at_ms) = (None, record.timestamp().to_millis());
    if replayed {
        let all = headers.view();
        former = former_id(all);
        published_at_ms = text(all, PUBLISHED_AT).and_then(|ms| ms.parse().ok()).or(published_at_ms);
        headers = all.iter().filter(|h| ![REPLAYED, MESSAGE_ID, PUBLISHED_AT].contains(&h.name)).collect();
    }
    let ticket = Ticket { assignment: Ticket::assignment(partition.assignment), place, offset };
    let message = Message::new(Parts {
        channel: &partition.channel,
        name: former.as_deref().map_or(Name::Number(offset), Name::Text),
        key: record.key(),
        headers: headers.view(),
        body: record.payload().unwrap_or_default(),
        published_at_ms: published_at_ms.and_then(|ms| u64::try_from(ms).ok()),
        replayed,
        tombstone: record.payload().is_none(),
    });
    Some(Delivery {
        receipt: ticket.receipt(),
        lane: lane(options.order, partition.id, record.key()),
        message,
        position: Some(Position { partition: partition.id, offset }),
        skipped: partition.skipped(record.offset()),
        receives: 0,
        assignment: partition.assignment,
        lease_until: None,
        instance: None,
        unreadable,
    })
}

fn former_id(headers: Headers<'_>) -> Option<String> {
    let is_id = |id: &&str| (1..=MAX_ID).contains(&id.len()) && !id.contains(char::is_control);
    text(headers, MESSAGE_ID).filter(is_id).map(str::to_owned)
}

fn text<'h>(headers: Headers<'h>, name: &str) -> Option<&'h str> {
    std::str::from_utf8(headers.find(name)?.value).ok()
}

fn lane(order: Order, partition: u32, key: Option<&[u8]>) -> Option<Lane> {
    match (order, key) {
        (Order::None, _) | (Order::Key, None) => None,
        (Order::Partition, _) => Some(Lane(u64::from(partition))),
        (Order::Key, Some(key)) => Some(Lane::of(&(partition, key))),
    }
}
