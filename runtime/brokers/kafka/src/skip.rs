//! A record that somebody gives up on. The ledger knows then that it has a letter, and lets the watermark
//! pass; where no worker runs, a group that stands right before it is moved on.

use crate::admin::ANSWER_TIMEOUT;
use crate::advice::advice;
use crate::config::KafkaConfig;
use crate::inspect::{PartitionStatus, inspect};
use crate::options::KafkaOptions;
use crate::reader::{Damaged, Part, Reader, Unread};
use crate::replay::KafkaReplay;
use pelton_core::broker::{AfterLetter, FindMessage, FoundContent, FoundMessage, Look, WantedMessage};
use pelton_core::pipeline::Named;
use pelton_core::ports::Scope;
use pelton_core::{Channel, Delivery, Message, Parts};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
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

impl FindMessage for KafkaConfig {
    fn named(&self, wanted: &WantedMessage) -> Result<Named, String> {
        let (topic, partition, offset) = parse(&wanted.text)?;
        let position = opened(self, wanted)?.position(topic, partition, offset);
        let unread = || {
            let (name, read) = (&wanted.pipeline.name, self.topics.join(", "));
            format!("`{name}` does not read the topic {topic}; it reads {read}")
        };
        Ok(Named { position: Some(position.ok_or_else(unread)?), ..Named::default() })
    }

    fn ledger_key(&self, text: &str) -> String {
        parse(text).map_or_else(
            |_| text.to_owned(),
            |(topic, partition, offset)| format!("{topic}/{partition}/{offset}"),
        )
    }

    fn scopes(&self, text: &str) -> Result<Vec<Scope>, String> {
        let reader = Reader::open(&self.bootstrap_servers, &self.librdkafka, ANSWER_TIMEOUT)?;
        let scope = |topic: &String| match reader.all_of(topic)? {
            None => Ok(None),
            Some(parts) => match reader.id_of(topic, &parts)? {
                Some(id) => Ok(Some(id.into())),
                None => Ok(Some(reader.scope_without_id(topic, &self.bootstrap_servers))),
            },
        };
        let place = parse(text).ok().map(|(topic, _, _)| topic);
        let meant = place.filter(|place| self.topics.iter().any(|topic| topic == place));
        let all = self.topics.iter().filter(|topic| meant.is_none_or(|meant| meant == topic.as_str()));
        all.map(scope).filter_map(Result::transpose).collect()
    }

    fn look(&self, wanted: &WantedMessage) -> Result<Look, String> {
        let (topic, partition, offset) = parse(&wanted.text)?;
        let (servers, raw) = (&self.bootstrap_servers, &self.librdkafka);
        let partitions = inspect(servers, &self.group_id, &self.topics, raw, ANSWER_TIMEOUT);
        let partitions = partitions.map_err(|problems| problems.join("; "))?;
        let one = partitions.iter().find(|s| s.topic == topic && s.partition == partition);
        let one = one.ok_or_else(|| format!("the topic {topic} has no partition {partition}"))?;
        is_there(one, offset)?;
        if !wanted.runs && one.committed.is_none() && offset != one.first {
            // A worker that finds no offset of its group forgets what is known of the partition: it may be
            // of another topic.
            return Err(format!(
                "the group {} has committed nothing in {topic}/{partition} yet, and what is skipped behind \
                 its beginning would not be known when it does: start the worker, and skip it then",
                self.group_id
            ));
        }
        let options = opened(self, wanted)?;
        let after = after(wanted, &options, one, offset);
        Ok(Look::Here(FoundMessage { content: content(options, topic, partition, offset)?, after }))
    }
}

fn opened(kafka: &KafkaConfig, wanted: &WantedMessage) -> Result<KafkaOptions, String> {
    kafka.options(&wanted.pipeline, wanted.books.clone()).map_err(|error| error.to_string())
}

fn content(
    options: KafkaOptions,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<FoundContent, String> {
    let channel = Arc::new(Channel::of_partition(&options.pipeline, topic, partition));
    let id = format!("{topic}/{partition}/{offset}");
    let message = Message::new(Parts { channel: &channel, ..Parts::named(&id) });
    let position = options.position(topic, partition, offset);
    let bare = Box::new(Delivery { position, ..Delivery::of(message) });
    let part = Part { partition, from: offset, to: offset.saturating_add(1) };
    // What is damaged is no message any more, and all there is of one: its letter has it.
    let source = KafkaReplay::open(options, vec![(topic.to_owned(), vec![part])], None, Damaged::Taken)?;
    let source = Arc::new(source);
    let read = source.clone();
    let why = Box::new(move || match read.unread() {
        None => Ok(String::new()),
        Some(Unread { words, damage: true }) => Ok(format!(": {words}")),
        Some(Unread { words, damage: false }) => Err(words),
    });
    Ok(FoundContent::Unread { source, bare, why })
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
fn after(
    wanted: &WantedMessage,
    options: &KafkaOptions,
    one: &PartitionStatus,
    offset: i64,
) -> AfterLetter {
    if wanted.runs {
        let books = wanted.books.clone();
        let position = options.position(&one.topic, one.partition, offset);
        return Box::new(move || {
            position.into_iter().for_each(|at| books.give_up_on(at.partition, at.offset));
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

/// Commits the offset behind this one for a group. The broker refuses while the group has members.
fn go_behind(options: &KafkaOptions, topic: &str, partition: i32, offset: i64) -> Result<(), String> {
    let words = |error: KafkaError| format!("{error}. {}", advice(&error));
    let mut config = KafkaOptions::connection(&options.bootstrap_servers, &options.librdkafka);
    config.set("group.id", &options.group_id).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().map_err(words)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset.saturating_add(1))).map_err(words)?;
    consumer.commit(&list, CommitMode::Sync).map_err(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown_anywhere() {
        for text in ["a/b/3:7", "a/b/3/7"] {
            assert_eq!(parse(text), Ok(("a/b", 3, 7)), "{text}");
        }
        for text in ["", "7", "3:7", "a/-1:7", "a/3:-7", "a/3:", "a/3:99999999999999999999", "a/b:7"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
