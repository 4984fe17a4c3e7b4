//! The headers of a dead letter, in the styles of tools that read dead-letter topics.

use super::convert::PUBLISHED_AT;
use pelton_core::letter::{self, Note};
use pelton_core::number::of_an_id;
use pelton_core::{Header, Letter};

/// Whose names the headers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderStyle {
    /// `pelton-cause`, `pelton-reason` and the others: all that is known, as text.
    #[default]
    Pelton,
    /// `kafka_dlt-original-topic` and the others, as Spring for Apache Kafka names and encodes them.
    Spring,
    /// `__connect.errors.topic` and the others, as Kafka Connect names them (KIP-298).
    Connect,
    /// None: the record as it was.
    None,
}

const SPRING: &str = "kafka_dlt-";
const CONNECT: &str = "__connect.errors.";
/// Before our words, where a style wants the name of a class.
const CLASS: &str = "pelton.";

/// Where a message of a topic was: its topic, partition and offset, read from its id.
#[must_use]
pub fn place(message_id: &str) -> Option<(&str, i32, i64)> {
    let mut parts = message_id.rsplitn(3, '/');
    let (offset, partition) = (of_an_id(parts.next()?)?, of_an_id(parts.next()?)?);
    Some((parts.next()?, partition, offset))
}

/// The partition of a topic that a message came from, if its id says so. The id may be a producer's word.
#[must_use]
pub fn partition_in(topic: &str, message_id: &str) -> Option<i32> {
    place(message_id)
        .filter(|(name, partition, _)| *name == topic && *partition >= 0)
        .map(|(_, partition, _)| partition)
}

impl HeaderStyle {
    /// The headers of a letter's record. `now_ms` since the epoch.
    pub fn headers(self, pipeline: &str, group: &str, item: &Letter, now_ms: u64) -> Vec<Header> {
        let added = match self {
            Self::Pelton => return letter::headers(pipeline, item, now_ms),
            Self::Spring => spring(group, item),
            Self::Connect => connect(pipeline, item),
            Self::None => Vec::new(),
        };
        let added = added.into_iter().map(|(name, value)| Header::new(name, value));
        of_no_letter(&item.message.headers().to_vec()).into_iter().chain(added).collect()
    }
}

fn spring(group: &str, item: &Letter) -> Vec<(String, Vec<u8>)> {
    let message = &item.message;
    let id = message.id().text();
    let (_, partition, offset) = place(&id).unwrap_or(("", -1, -1));
    let published = i64::try_from(message.published_at_ms().unwrap_or(0)).unwrap_or(0);
    let class = |word: &str| format!("{CLASS}{word}").into_bytes();
    [
        ("original-topic", message.origin().as_bytes().to_vec()),
        ("original-partition", partition.to_be_bytes().to_vec()),
        ("original-offset", offset.to_be_bytes().to_vec()),
        ("original-timestamp", published.to_be_bytes().to_vec()),
        ("original-timestamp-type", b"CreateTime".to_vec()),
        ("original-consumer-group", group.as_bytes().to_vec()),
        ("exception-fqcn", class(item.cause.as_str())),
        ("exception-cause-fqcn", class(item.failure.as_str())),
        ("exception-message", item.reason.as_bytes().to_vec()),
    ]
    .map(|(name, value)| (format!("{SPRING}{name}"), value))
    .into()
}

fn connect(pipeline: &str, item: &Letter) -> Vec<(String, Vec<u8>)> {
    let message = &item.message;
    let id = message.id().text();
    let (_, partition, offset) = place(&id).unwrap_or(("", -1, -1));
    [
        ("topic", message.origin().to_owned()),
        ("partition", partition.to_string()),
        ("offset", offset.to_string()),
        ("connector.name", pipeline.to_owned()),
        ("task.id", "0".to_owned()),
        ("stage", "TASK_PUT".to_owned()),
        ("class.name", item.handler.to_string()),
        ("exception.class.name", format!("{CLASS}{}", item.cause.as_str())),
        ("exception.message", item.reason.clone()),
    ]
    .map(|(name, value)| (format!("{CONNECT}{name}"), value.into_bytes()))
    .into()
}

/// The headers that the record had before it was a letter, of whatever style. Those of other tools in a
/// letter of ours are the message's: it may have been a letter of theirs.
pub fn own(headers: &[Header]) -> Vec<Header> {
    if is_ours(headers) { letter::own(headers).collect() } else { of_no_letter(headers) }
}

fn of_no_letter(headers: &[Header]) -> Vec<Header> {
    let of_others = |name: &str| name.starts_with(SPRING) || name.starts_with(CONNECT);
    letter::own(headers).filter(|h| !of_others(&h.name)).collect()
}

/// Whether they say in our words what happened. The time alone may be in a letter of any style.
fn is_ours(headers: &[Header]) -> bool {
    headers.iter().any(|h| letter::is_ours(&h.name) && h.name != PUBLISHED_AT)
}

/// What the headers of a letter's record say, of whatever style and tool.
pub fn note(headers: &[Header]) -> Note {
    let has = |prefix: &str| headers.iter().any(|h| h.name.starts_with(prefix));
    let ours = letter::note(headers);
    // A letter of any style has its message's time in our header, where its topic did not take that.
    let published_at_ms = ours.published_at_ms;
    let note = if is_ours(headers) {
        ours
    } else if has(SPRING) {
        note_of_spring(headers)
    } else if has(CONNECT) {
        note_of_connect(headers)
    } else {
        Note::default()
    };
    Note { published_at_ms: note.published_at_ms.or(published_at_ms), ..note }
}

fn note_of_spring(headers: &[Header]) -> Note {
    let value = |name: &str| {
        headers.iter().find(|h| h.name.strip_prefix(SPRING) == Some(name)).map(|h| h.value.as_slice())
    };
    let text = |name| value(name).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
    let origin = text("original-topic");
    let place = value("original-partition").and_then(number).zip(value("original-offset").and_then(number));
    Note {
        message_id: place.map(|(partition, offset)| format!("{origin}/{partition}/{offset}")),
        cause: word(&text("exception-fqcn")),
        failure: word(&text("exception-cause-fqcn")),
        reason: text("exception-message"),
        handler: text("original-consumer-group"),
        published_at_ms: value("original-timestamp").and_then(number).and_then(|ms| ms.try_into().ok()),
        origin,
        ..Note::default()
    }
}

fn note_of_connect(headers: &[Header]) -> Note {
    let text = |name: &str| {
        let header = headers.iter().find(|h| h.name.strip_prefix(CONNECT) == Some(name));
        header.map(|h| String::from_utf8_lossy(&h.value).into_owned()).unwrap_or_default()
    };
    let origin = text("topic");
    let id = format!("{origin}/{}/{}", text("partition"), text("offset"));
    Note {
        message_id: place(&id).is_some().then_some(id),
        cause: word(&text("exception.class.name")),
        reason: text("exception.message"),
        handler: text("class.name"),
        origin,
        ..Note::default()
    }
}

/// Our word, or the class of another tool's exception.
fn word(class: &str) -> String {
    class.strip_prefix(CLASS).unwrap_or(class).to_owned()
}

/// A number as text, as some tools write it; or in four or eight bytes, the highest first. Bytes that are
/// digits too would be numbers that no partition, offset or time has.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    let four = || Some(i64::from(i32::from_be_bytes(value.try_into().ok()?)));
    text.or_else(four).or_else(|| Some(i64::from_be_bytes(value.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::{Cause, Channel, Failure, HeaderList, Message, Name, Parts};
    use std::sync::Arc;

    fn letter() -> Letter {
        letter_with(&[Header::new("a", "1")])
    }

    fn letter_with(headers: &[Header]) -> Letter {
        let message = Message::new(Parts {
            channel: &Arc::new(Channel::of_partition("p", "or/ders", 3)),
            name: Name::Number(77),
            headers: headers.iter().collect::<HeaderList>().view(),
            published_at_ms: Some(1_700_000_000_000),
            ..Parts::default()
        });
        let (cause, failure) = (Cause::RetriesExhausted, Failure::Trap);
        Letter { cause, failure, ..pelton_broker_common::testing::letter(message, "unreachable") }
    }

    #[test]
    fn every_style_is_read_back() {
        for style in [HeaderStyle::Pelton, HeaderStyle::Spring, HeaderStyle::Connect] {
            let headers = style.headers("p", "g", &letter(), 9);
            let note = note(&headers);
            assert_eq!(note.message_id.as_deref(), Some("or/ders/3/77"), "{style:?}");
            assert_eq!((note.origin.as_str(), note.reason.as_str()), ("or/ders", "unreachable"));
            assert_eq!(note.cause, "retries-exhausted");
            assert_eq!(own(&headers), letter().message.headers().to_vec());
        }
        let headers = HeaderStyle::None.headers("p", "g", &letter(), 9);
        assert_eq!((headers, note(&[])), (letter().message.headers().to_vec(), Note::default()));
    }

    #[test]
    fn what_was_a_letter_of_another_tool_before_keeps_what_that_said() {
        let letter =
            letter_with(&[Header::new("a", "1"), Header::new("kafka_dlt-original-topic", "long ago")]);
        let headers = HeaderStyle::Pelton.headers("p", "g", &letter, 9);
        assert_eq!(
            (own(&headers), note(&headers).origin.as_str()),
            (letter.message.headers().to_vec(), "or/ders")
        );
    }

    #[test]
    fn a_time_in_our_header_makes_no_letter_of_ours() {
        for style in [HeaderStyle::Spring, HeaderStyle::Connect, HeaderStyle::None] {
            let mut headers = style.headers("p", "g", &letter(), 9);
            headers.push(Header::new(PUBLISHED_AT, "7"));
            let cause = if style == HeaderStyle::None { "" } else { "retries-exhausted" };
            assert_eq!(
                (note(&headers).cause.as_str(), own(&headers)),
                (cause, letter().message.headers().to_vec())
            );
            assert!(note(&headers).published_at_ms.is_some(), "{style:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_bytes_and_as_text() {
        assert_eq!(number(&7i32.to_be_bytes()), Some(7));
        assert_eq!(number(&1_700_000_000_000i64.to_be_bytes()), Some(1_700_000_000_000));
        assert_eq!((number(b"1234"), number(b"x")), (Some(1234), None));
    }
}
