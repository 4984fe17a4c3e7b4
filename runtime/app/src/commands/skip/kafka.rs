//! A record of a topic. The ledger knows then that it has a letter, and lets the watermark pass; where no
//! worker runs, a group that stands right before it is moved on.

use super::one::{After, Bare, Found, bare};
use super::{Look, Place};
use crate::commands::brokers::kafka::options;
use pelton_core::pipeline::Named;
use pelton_core::{Delivery, Message};
use pelton_kafka::{
    ANSWER_TIMEOUT, Damaged, KafkaConfig, KafkaOptions, KafkaReplay, Part, PartitionStatus, Unread,
    go_behind, inspect,
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
    if !place.runs && one.committed.is_none() && offset != one.first {
        // A worker that finds no offset of its group forgets what is known of the partition: it may be of
        // another topic.
        return Err(format!(
            "the group {} has committed nothing in {topic}/{partition} yet, and what is skipped behind its \
             beginning would not be known when it does: start the worker, and skip it then",
            kafka.group_id
        ));
    }
    let opened = opened(place, kafka)?;
    let after = after(place, &opened, one, offset);
    let message = Message {
        id: format!("{topic}/{partition}/{offset}"),
        pipeline: place.pipeline.name.as_str().into(),
        origin: topic.into(),
        ..Message::default()
    };
    let position = opened.position(topic, partition, offset);
    let delivery = Box::new(Delivery { position, ..bare(message) });
    let part = Part { partition, from: offset, to: offset.saturating_add(1) };
    // What is damaged is no message any more, and all there is of one: its letter has it.
    let source = KafkaReplay::open(opened, vec![(topic.to_owned(), vec![part])], None, Damaged::Taken)?;
    let source = Arc::new(source);
    let read = source.clone();
    let why = Box::new(move || match read.failed() {
        None => Ok(String::new()),
        Some(Unread { words, damage: true }) => Ok(format!(": {words}")),
        Some(Unread { words, damage: false }) => Err(words),
    });
    Ok(Look::Here(Found { source, bare: Some(Bare { delivery, why }), after }))
}

fn is_there(one: &PartitionStatus, offset: i64) -> Result<(), String> {
    let at = format!("{}/{}", one.topic, one.partition);
    match one.committed {
        Some(committed) if offset < committed => Err(format!(
            "the group has passed it: it stands at {committed} of {at}; `pelton replay` reads records once \
             more"
        )),
        _ if offset >= one.end => Err(format!("{at} has no record there yet: it ends at {}", one.end)),
        _ if offset < one.first => {
            Err(format!("{at} has no record there any more: it begins at {}", one.first))
        }
        _ => Ok(()),
    }
}

/// A worker that runs comes past it by itself, and stands before one that cannot be read until it hears of
/// this.
fn after(place: &Place, options: &KafkaOptions, one: &PartitionStatus, offset: i64) -> After {
    if place.runs {
        let ledger = place.ledger.clone();
        let position = options.position(&one.topic, one.partition, offset);
        return Box::new(move || {
            position.into_iter().for_each(|at| ledger.give_up_on(at.partition, at.offset));
            Ok(None)
        });
    }
    if one.committed.unwrap_or(one.first) != offset {
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
