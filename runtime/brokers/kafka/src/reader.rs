//! Reads a bounded part of topics from outside the group: for letters, and for replays.

use super::advice::{advice, is_damage};
use super::ends::{At, Bounds};
use super::inspect::Complaint;
use super::options::{KafkaOptions, refused};
use super::topic_id::scope_without_id;
use super::topics::partitions_of;
use pelton_core::ports::Scope;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(100);
/// How long nothing may come before the read is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// The member of no group: the client library wants a name, and nothing is committed with it.
const NO_GROUP: &str = "pelton-reader";

/// What one answer may have, and a batch once it is unpacked. For a batch that does not say how large it
/// is, the library wants up to three times its bytes; so letters are packed here, and by its own limit one
/// of 40 MB could be written, and never be read.
const MOST_BYTES: (&str, &str) = ("receive.message.max.bytes", "2147483647");

/// The part of one partition to read: from `from` on, and before `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub partition: i32,
    /// The first offset to read.
    pub from: i64,
    /// The offset to stop at.
    pub to: i64,
}

/// How far parts of a topic are read.
pub struct Cursor {
    topic: String,
    parts: Vec<Part>,
    /// Where those end that were not read to their ends, by their partitions.
    open: BTreeMap<i32, i64>,
}

impl Cursor {
    /// A record was read; whether it is of these parts. The library begins anew at the first record there is
    /// where it has lost its place.
    fn passes(&mut self, record: &BorrowedMessage<'_>) -> bool {
        let (partition, offset) = (record.partition(), record.offset());
        let Some(end) = self.open.get(&partition).copied() else { return false };
        // Behind the last one there may be nothing but the marks of transactions.
        if offset + 1 >= end {
            self.open.remove(&partition);
        }
        self.parts.iter().any(|p| p.partition == partition && (p.from..p.to).contains(&offset))
    }
}

/// What becomes of records that are not as they were sent, by their checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damaged {
    /// Reading ends there.
    Refused,
    /// They are read, as far as that can be.
    Taken,
}

/// Why a part could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// In words.
    pub words: String,
    /// A record there is damaged, or of a form that the client library does not know.
    pub damage: bool,
}

impl From<String> for Unread {
    fn from(words: String) -> Self {
        Self { words, damage: false }
    }
}

/// A consumer without a group. Blocks.
pub struct Reader {
    consumer: BaseConsumer<Complaint>,
    patience: Duration,
}

impl Reader {
    /// `patience` is how long the broker may take for one answer.
    ///
    /// # Errors
    /// When the client library refuses the settings, in words.
    pub fn open(
        bootstrap_servers: &str,
        librdkafka: &[(String, String)],
        patience: Duration,
    ) -> Result<Self, String> {
        Self::open_with(bootstrap_servers, librdkafka, patience, Damaged::Taken)
    }

    /// The same, for who may not want what is damaged.
    ///
    /// # Errors
    /// When the client library refuses the settings, in words.
    pub fn open_with(
        bootstrap_servers: &str,
        librdkafka: &[(String, String)],
        patience: Duration,
        damaged: Damaged,
    ) -> Result<Self, String> {
        let mut config = KafkaOptions::connection(bootstrap_servers, librdkafka);
        config
            .set("group.id", NO_GROUP)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("check.crcs", if damaged == Damaged::Refused { "true" } else { "false" })
            .set("auto.offset.reset", "earliest")
            .set("debug", KafkaOptions::debug(librdkafka))
            .set_log_level(RDKafkaLogLevel::Debug);
        if config.get(MOST_BYTES.0).is_none() {
            config.set(MOST_BYTES.0, MOST_BYTES.1);
        }
        let consumer = config.create_with_context(Complaint::default());
        let why = |error: KafkaError| format!("the Kafka client refuses the options: {}", refused(&error));
        Ok(Self { consumer: consumer.map_err(why)?, patience })
    }

    /// Everything in a topic now; none when there is no such topic.
    ///
    /// # Errors
    /// In words: the broker does not answer, or does not say.
    pub fn all_of(&self, topic: &str) -> Result<Option<Vec<Part>>, String> {
        let unreachable = |error: KafkaError| {
            let poll = |wait| drop(self.consumer.poll(wait));
            format!("the broker {}", self.consumer.context().behind(&error, poll))
        };
        let metadata = self.consumer.fetch_metadata(Some(topic), self.patience).map_err(unreachable)?;
        let Some(numbers) = partitions_of(&metadata)? else { return Ok(None) };
        let all: Vec<At> = numbers.into_iter().map(|number| (topic.to_owned(), number)).collect();
        let bounds = Bounds::ask(&self.consumer, &all, self.patience).map_err(words)?;
        let part = |at: &At| {
            let (from, to) = bounds.of(at).map_err(words)?;
            Ok(Part { partition: at.1, from, to })
        };
        all.iter().map(part).collect::<Result<_, String>>().map(Some)
    }

    /// The first offset of each part whose record is not older than a time, in milliseconds since the
    /// epoch; the part's end when there is none.
    ///
    /// # Errors
    /// In words: the broker does not answer.
    pub fn at_time(&self, topic: &str, parts: &[Part], ms: i64) -> Result<Vec<i64>, String> {
        let mut asked = TopicPartitionList::new();
        for part in parts {
            asked.add_partition_offset(topic, part.partition, Offset::Offset(ms)).map_err(words)?;
        }
        let found = self.consumer.offsets_for_times(asked, self.patience).map_err(words)?;
        let offset = |part: &Part| {
            let place = || format!("{topic}/{}", part.partition);
            let told = found.find_partition(topic, part.partition);
            let told = told.ok_or_else(|| format!("{}: the broker says nothing of that time", place()))?;
            told.error().map_err(|error| format!("{}: {}", place(), words(error)))?;
            Ok(match told.offset() {
                Offset::Offset(offset) => offset,
                _ => part.to,
            })
        };
        parts.iter().map(offset).collect()
    }

    /// The id of a topic that has these parts: it is another's when a topic of this name was deleted and
    /// made again. None from a broker before 2.8, which gives none.
    ///
    /// # Errors
    /// In words: the broker has not answered for half a minute.
    pub fn id_of(&self, topic: &str, parts: &[Part]) -> Result<Option<String>, String> {
        let Some(part) = parts.first() else { return Ok(None) };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, part.partition, Offset::Offset(part.to)).map_err(words)?;
        self.consumer.assign(&list).map_err(words)?;
        let since = Instant::now();
        loop {
            let known = self.consumer.context().id_of(topic);
            // The library tells it before it reads anything of the topic.
            let reads = match self.consumer.poll(if known.is_some() { Duration::ZERO } else { POLL }) {
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => true,
                Some(Err(error)) if since.elapsed() > SILENCE => return Err(words(error)),
                None if since.elapsed() > SILENCE => {
                    return Err(format!("topic `{topic}`: the broker has said nothing for {SILENCE:?}"));
                }
                Some(Err(_)) | None => false,
            };
            if known.is_some() || reads {
                self.consumer.unassign().map_err(words)?;
                return Ok(self.consumer.context().id_of(topic));
            }
        }
    }

    /// What numbers the records of a topic whose broker gives topics no ids.
    pub fn scope_without_id(&self, topic: &str, bootstrap_servers: &str) -> Scope {
        let cluster = self.consumer.client().fetch_cluster_id(POLL);
        scope_without_id(cluster, bootstrap_servers, topic)
    }

    /// Reads the parts of one topic, each in order, until `see` answers false.
    ///
    /// # Errors
    /// In words: the broker has not answered for half a minute.
    pub fn read(
        &self,
        topic: &str,
        parts: &[Part],
        mut see: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), Unread> {
        let mut cursor = self.begin(topic, parts)?;
        while let Some(record) = self.next(&mut cursor)? {
            if !see(&record) {
                return self.consumer.unassign().map_err(|error| words(error).into());
            }
        }
        Ok(())
    }

    /// Begins to read the parts of one topic, each in order. What was read before is read no more.
    ///
    /// # Errors
    /// In words: the client library refuses.
    pub fn begin(&self, topic: &str, parts: &[Part]) -> Result<Cursor, Unread> {
        let parts: Vec<Part> = parts.iter().filter(|p| p.from < p.to).cloned().collect();
        let mut list = TopicPartitionList::new();
        for part in &parts {
            list.add_partition_offset(topic, part.partition, Offset::Offset(part.from)).map_err(words)?;
        }
        self.consumer.assign(&list).map_err(words)?;
        let open = parts.iter().map(|p| (p.partition, p.to)).collect();
        Ok(Cursor { topic: topic.to_owned(), parts, open })
    }

    /// The next record; none when all parts were read.
    ///
    /// # Errors
    /// In words: the broker has not answered for half a minute.
    pub fn next(&self, cursor: &mut Cursor) -> Result<Option<BorrowedMessage<'_>>, Unread> {
        let mut heard = Instant::now();
        while !cursor.open.is_empty() {
            match self.consumer.poll(POLL) {
                Some(Ok(record)) => {
                    if cursor.passes(&record) {
                        return Ok(Some(record));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(cursor.open.remove(&partition)),
                Some(Err(error)) if is_damage(&error) => return Err(self.damaged(cursor, &error)),
                Some(Err(error)) if heard.elapsed() > SILENCE => return Err(words(error).into()),
                None if heard.elapsed() > SILENCE => {
                    let topic = &cursor.topic;
                    let words = format!("topic `{topic}`: the broker has sent nothing for {SILENCE:?}");
                    return Err(words.into());
                }
                Some(Err(_)) | None => continue,
            }
            heard = Instant::now();
        }
        self.consumer.unassign().map_err(words)?;
        Ok(None)
    }

    /// The library does not tell the partition; those that are read are told.
    fn damaged(&self, cursor: &Cursor, error: &KafkaError) -> Unread {
        let Cursor { topic, open, .. } = cursor;
        let all: Vec<String> = open.keys().map(|partition| format!("{topic}/{partition}")).collect();
        // Nothing of it is read any more: the next part is assigned anew.
        let left = self.consumer.unassign().map_or_else(|why| format!("; {why}"), |()| String::new());
        let words = format!("a record of {} cannot be read: {error}{left}", all.join(", "));
        Unread { words, damage: true }
    }
}

fn words(error: KafkaError) -> String {
    format!("{error}. {}", advice(&error))
}
