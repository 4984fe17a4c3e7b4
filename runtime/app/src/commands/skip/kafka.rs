//! A record of a topic. The ledger knows then that it has a letter, and lets the watermark pass; where no worker
//! runs, a group that stands right before it is moved on.

use super::one::{After, Found};
use super::{Look, Place};
use crate::commands::brokers::kafka::options;
use pelton_core::pipeline::Named;
use pelton_core::{Delivery, Message, Receipt};
use pelton_kafka::{
    ANSWER_TIMEOUT, KafkaConfig, KafkaOptions, KafkaReplay, Part, PartitionStatus, go_behind, inspect,
};
use std::sync::Arc;

/// `TOPIC/PARTITION:OFFSET`, or as ids are shown, `TOPIC/PARTITION/OFFSET`.
fn parse(text: &str) -> Result<(&str, i32, i64), String> {
    let wrong = || format!("`{text}` is no record: write TOPIC/PARTITION:OFFSET, such as orders/3:1200");
    let (rest, offset) = text.rsplit_once([':', '/']).ok_or_else(wrong)?;
    let (topic, partition) = rest.rsplit_once('/').ok_or_else(wrong)?;
    let partition = partition.parse().ok().filter(|number: &i32| *number >= 0);
    let offset = offset.parse().ok().filter(|offset: &i64| *offset >= 0);
    partition.zip(offset).map(|(partition, offset)| (topic, partition, offset)).ok_or_else(wrong)
}

/// As the ledger and the core call it.
pub fn id(text: &str) -> String {
    parse(text).map_or_else(
        |_| text.to_owned(),
        |(topic, partition, offset)| format!("{topic}/{partition}/{offset}"),
    )
}

fn opened(place: &Place, kafka: &KafkaConfig) -> Result<KafkaOptions, String> {
    let opened = options(&place.store, &place.config, &place.pipeline, kafka, &place.ledger);
    opened.map_err(|fail| fail.error.to_string())
}

pub fn named(place: &Place, kafka: &KafkaConfig) -> Result<Named, String> {
    let (topic, partition, offset) = parse(&place.text)?;
    let position = opened(place, kafka)?.position(topic, partition, offset);
    let unread = || {
        let (name, read) = (&place.pipeline.name, kafka.topics.join(", "));
        format!("`{name}` does not read the topic {topic}; it reads {read}")
    };
    Ok(Named { position: Some(position.ok_or_else(unread)?), ..Named::default() })
}

pub fn look(place: &Place, kafka: &KafkaConfig) -> Result<Look, String> {
    let (topic, partition, offset) = parse(&place.text)?;
    let standing = inspect(
        &kafka.bootstrap_servers,
        &kafka.group_id,
        &kafka.topics,
        &kafka.librdkafka,
        ANSWER_TIMEOUT,
    );
    let standing = standing.map_err(|problems| problems.join("; "))?;
    let one = standing.iter().find(|s| s.topic == topic && s.partition == partition);
    let one = one.ok_or_else(|| format!("the topic {topic} has no partition {partition}"))?;
    is_there(one, offset)?;
    let opened = opened(place, kafka)?;
    let after = after(place, &opened, one, offset);
    let bare = opened.position(topic, partition, offset).map(|position| {
        Box::new(Delivery {
            receipt: Receipt(0),
            message: Arc::new(Message {
                id: format!("{topic}/{partition}/{offset}"),
                pipeline: place.pipeline.name.as_str().into(),
                origin: topic.into(),
                ..Message::default()
            }),
            lane: None,
            position: Some(position),
            skipped: 0,
            receives: 0,
            assignment: 0,
            lease_until: None,
            instance: None,
            unreadable: None,
        })
    });
    let part = Part { partition, from: offset, to: offset.saturating_add(1) };
    let source = KafkaReplay::open(opened, vec![(topic.to_owned(), vec![part])], None)?;
    Ok(Look::Here(Found { source: Arc::new(source), bare, after }))
}

fn is_there(one: &PartitionStatus, offset: i64) -> Result<(), String> {
    let at = format!("{}/{}", one.topic, one.partition);
    match one.committed {
        Some(committed) if offset < committed => Err(format!(
            "the group has passed it: it stands at {committed} of {at}; `pelton replay` reads records once more"
        )),
        _ if offset >= one.end => Err(format!("{at} has no record there yet: it ends at {}", one.end)),
        _ if offset < one.first => {
            Err(format!("{at} has no record there any more: it begins at {}", one.first))
        }
        _ => Ok(()),
    }
}

/// A worker that runs comes past it by itself.
fn after(place: &Place, options: &KafkaOptions, one: &PartitionStatus, offset: i64) -> After {
    let is_next = one.committed.unwrap_or(one.first) == offset;
    if place.runs || !is_next {
        return Box::new(|| Ok(None));
    }
    let (options, topic, partition) = (options.clone(), one.topic.clone(), one.partition);
    Box::new(move || {
        let moved = go_behind(&options, &topic, partition, offset);
        Ok(moved.err().map(|why| {
            format!(
                "the group was not moved on, the worker of this data directory will pass the record: {why}"
            )
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown_anywhere() {
        for text in ["a/b/3:7", "a/b/3/7"] {
            assert_eq!(parse(text), Ok(("a/b", 3, 7)), "{text}");
            assert_eq!(id(text), "a/b/3/7");
        }
        for text in ["", "7", "3:7", "a/-1:7", "a/3:-7", "a/3:", "a/3:99999999999999999999", "a/b:7"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
