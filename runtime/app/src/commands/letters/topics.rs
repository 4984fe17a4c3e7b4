//! Dead letters in topics. A topic does not lose single records: those that were replayed or purged are
//! known to the data directory, and not shown any more.

use super::{DeadLetterStore, Found, back, noted};
use crate::cli::{LetterId, Which};
use crate::commands::brokers::kafka;
use crate::config::PipelineConfig;
use crate::exit::{Fail, Outcome};
use crate::registry::SourceConfig;
use crate::telemetry::progress::Progress;
use crate::worker::assemble::open_fail;
use pelton_kafka::{
    ANSWER_TIMEOUT, DeadLetterRecord, KafkaConfig, KafkaProducer, LetterTopics, MOST_HEADERS, Outgoing,
    Part, Reader, dead_letter_record, partition_in,
};
use pelton_store::{DoneLetters, Store, StoredLetter};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// Headers that a replay adds.
const MARKS: usize = 3;

/// The letters of a pipeline in their topics.
pub struct InTopics<'c> {
    pipeline: &'c PipelineConfig,
    kafka: &'c KafkaConfig,
    topics: BTreeSet<&'c str>,
    store: Store,
    /// The ends of the topics, where they were noted before the walk.
    ends: Cell<Option<Ends<'c>>>,
    back: back::Back<'c>,
}

/// Every topic's partitions, up to the ends they have.
type Ends<'c> = Vec<(&'c str, Vec<Part>)>;

/// Opens them. The broker is asked later.
pub fn open<'c>(
    pipeline: &'c PipelineConfig,
    topics: &'c LetterTopics,
    store: Store,
) -> Result<InTopics<'c>, Fail> {
    let SourceConfig::Kafka(kafka) = &pipeline.source else {
        return Err(Fail::usage(format!("`{}` does not read Kafka", pipeline.name)));
    };
    let topics = topics.topics.iter().map(|t| t.name.as_str()).collect();
    let back = back::Back::of(pipeline, &store);
    Ok(InTopics { pipeline, kafka, topics, store, ends: Cell::default(), back })
}

/// How many letters are held in the topics now: offsets, less those done with.
pub fn count(pipeline: &PipelineConfig, letters: &LetterTopics, store: &Store) -> Result<u64, Fail> {
    let SourceConfig::Kafka(kafka) = &pipeline.source else { return Ok(0) };
    let reader = Reader::open(&kafka.bootstrap_servers, &kafka.librdkafka, ANSWER_TIMEOUT);
    let reader = reader.map_err(|why| kafka::refused(pipeline, &why))?;
    let mut held = 0;
    for topic in letters.topics.iter().map(|t| t.name.as_str()).collect::<BTreeSet<_>>() {
        let parts = reader.all_of(topic).map_err(Fail::refused)?.unwrap_or_default();
        let done = done(store, &pipeline.name, &reader, topic, &parts)?;
        let of = |p: &Part| {
            unsigned(p.to - p.from).saturating_sub(done.count(
                p.partition.cast_unsigned(),
                unsigned(p.from),
                unsigned(p.to),
            ))
        };
        held += parts.iter().map(of).sum::<u64>();
    }
    Ok(held)
}

/// What is done with in a topic. Of another of its name nothing is; that it was made anew is known by its
/// id, or where what was done with lies behind its end.
fn done(
    store: &Store,
    pipeline: &str,
    reader: &Reader,
    topic: &str,
    parts: &[Part],
) -> Result<DoneLetters, Fail> {
    if let Some(id) = reader.id_of(topic, parts).map_err(Fail::refused)?
        && store.letters_topic_is(pipeline, topic, &id)?
    {
        note!("note: the topic `{topic}` was deleted and made anew: all letters in it are new");
    }
    let done = store.letters_done(pipeline, topic)?;
    let mut anew = false;
    for part in parts {
        let partition = part.partition.cast_unsigned();
        if done.last(partition).is_some_and(|last| last >= unsigned(part.to)) {
            store.letters_anew(pipeline, topic, partition)?;
            anew = true;
        }
    }
    if anew { Ok(store.letters_done(pipeline, topic)?) } else { Ok(done) }
}

fn unsigned(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}

impl<'c> InTopics<'c> {
    fn reader(&self) -> Result<Reader, Fail> {
        let reader = Reader::open(&self.kafka.bootstrap_servers, &self.kafka.librdkafka, ANSWER_TIMEOUT);
        reader.map_err(|why| kafka::refused(self.pipeline, &why))
    }

    /// All of them before the first is read: what comes back from one topic may fail into another.
    fn ends_now(&self, reader: &Reader) -> Result<Ends<'c>, Fail> {
        let mut all = Vec::new();
        for topic in &self.topics {
            all.extend(reader.all_of(topic).map_err(Fail::refused)?.map(|parts| (*topic, parts)));
        }
        Ok(all)
    }

    /// Reads one topic to the end it had at the start.
    fn each_of(
        &self,
        reader: &Reader,
        (topic, mut parts): (&str, Vec<Part>),
        which: &Which,
        see: &mut dyn FnMut(Found) -> Outcome,
    ) -> Outcome {
        let done = done(&self.store, &self.pipeline.name, reader, topic, &parts)?;
        if let Some(id) = &which.id {
            parts = only(id, topic, &parts);
        }
        let all = parts.iter().map(|p| unsigned(p.to - p.from)).sum();
        let (progress, mut count) = (Progress::of("read", Some(all)), 0);
        let mut result = Ok(());
        // One partition after the other, so that each comes in its order.
        for part in parts {
            let read = reader.read(topic, &[part], |record| {
                count += 1;
                progress.shows(count);
                let kept = match dead_letter_record(record) {
                    Ok(kept) => kept,
                    Err(unreadable) => {
                        note!("warning: {unreadable}");
                        return true;
                    }
                };
                if done.contains(kept.partition.cast_unsigned(), unsigned(kept.offset)) {
                    return true;
                }
                let found = self.found(kept);
                if which.cause.as_ref().is_none_or(|cause| *cause == found.letter.cause) {
                    result = see(found);
                }
                result.is_ok()
            });
            read.map_err(|unread| Fail::refused(unread.words))?;
            if result.is_err() {
                break;
            }
        }
        progress.clear();
        result
    }

    fn found(&self, kept: DeadLetterRecord) -> Found {
        let DeadLetterRecord { topic, partition, offset, note, key, headers, body, timestamp_ms } = kept;
        // Where nothing is said of it, it is its own message, of the first topic that is read.
        let own_id = format!("{topic}/{partition}/{offset}");
        let first = self.kafka.topics.first().map_or("", String::as_str);
        let letter = StoredLetter { key, headers, body, ..noted(note, own_id, first, timestamp_ms) };
        Found { id: LetterId::Place { topic, partition, offset }, letter }
    }

    /// Notes letters as done with.
    fn end(&self, letters: &[Found]) -> Outcome {
        let mut places: BTreeMap<&str, Vec<(u32, u64)>> = BTreeMap::new();
        for found in letters {
            if let LetterId::Place { topic, partition, offset } = &found.id {
                places.entry(topic).or_default().push((partition.cast_unsigned(), unsigned(*offset)));
            }
        }
        for (topic, places) in places {
            self.store.letters_end(&self.pipeline.name, topic, &places)?;
        }
        Ok(())
    }
}

/// The one record that is meant, if the topic may have it.
fn only(id: &LetterId, topic: &str, parts: &[Part]) -> Vec<Part> {
    let LetterId::Place { topic: wanted, partition, offset } = id else { return Vec::new() };
    let has = |p: &&Part| wanted == topic && p.partition == *partition && (p.from..p.to).contains(offset);
    parts
        .iter()
        .filter(has)
        .map(|_| Part { partition: *partition, from: *offset, to: *offset + 1 })
        .collect()
}

impl DeadLetterStore for InTopics<'_> {
    fn each(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail> {
        let reader = self.reader()?;
        let (mut seen, mut page) = (0, Vec::new());
        let noted = self.ends.take();
        for of in noted.map_or_else(|| self.ends_now(&reader), Ok)? {
            self.each_of(&reader, of, which, &mut |found| {
                seen += 1;
                page.push(found);
                if page.len() >= limit { see(std::mem::take(&mut page)) } else { Ok(()) }
            })?;
        }
        if !page.is_empty() {
            see(page)?;
        }
        Ok(seen)
    }

    fn begins(&self) -> Outcome {
        self.ends.set(Some(self.ends_now(&self.reader()?)?));
        Ok(())
    }

    fn purge(&self, letters: &[Found]) -> Result<u64, Fail> {
        self.end(letters)?;
        Ok(letters.len() as u64)
    }

    fn back(&self) -> &back::Back<'_> {
        &self.back
    }
}

/// The way back into the topics that letters came from.
pub struct Back<'c> {
    pipeline: &'c PipelineConfig,
    kafka: &'c KafkaConfig,
    /// Opened for the first letter.
    producer: OnceCell<KafkaProducer>,
    /// How many each topic has, of those that were asked for.
    partitions: RefCell<BTreeMap<String, usize>>,
}

impl<'c> Back<'c> {
    pub fn new(pipeline: &'c PipelineConfig, kafka: &'c KafkaConfig) -> Self {
        Self { pipeline, kafka, producer: OnceCell::new(), partitions: RefCell::default() }
    }

    /// Sends letters; for each, why it is not there.
    pub fn send(&self, letters: &[Found]) -> Result<Vec<Result<(), String>>, Fail> {
        if self.producer.get().is_none() {
            drop(
                self.producer
                    .set(self.kafka.producer().map_err(|error| open_fail(&self.pipeline.name, error))?),
            );
        }
        let records: Vec<Outgoing<'_>> = letters.iter().map(|found| self.returning(found)).collect();
        let results = self.producer.get().map(|producer| producer.send(&records)).unwrap_or_default();
        Ok(results.into_iter().map(|result| result.map(drop).map_err(|refused| refused.words)).collect())
    }

    /// A message that has all the headers there may be goes back as it came, or it never would.
    fn returning<'l>(&self, found: &'l Found) -> Outgoing<'l> {
        let letter = &found.letter;
        let outgoing = self.marked(letter);
        if letter.headers.len() + MARKS <= MOST_HEADERS {
            return outgoing;
        }
        note!(
            "warning: the message of letter {} leaves no room for its id: it goes back as a new message",
            found.id
        );
        Outgoing { replays: None, published_at_ms: None, ..outgoing }
    }

    fn marked<'l>(&self, letter: &'l StoredLetter) -> Outgoing<'l> {
        Outgoing {
            topic: &letter.origin,
            key: letter.key.as_deref(),
            value: (!letter.tombstone).then_some(&*letter.body),
            headers: &letter.headers,
            published_at_ms: letter.published_at_ms,
            partition: self.partition(letter),
            replays: Some(&letter.message_id),
        }
    }

    /// The partition it came from, if that is known and still there: whatever its producer went by, the
    /// records of its key are in it.
    fn partition(&self, letter: &StoredLetter) -> Option<i32> {
        let (topic, partition) = came_from(letter)?;
        let mut known = self.partitions.borrow_mut();
        let count = *known.entry(topic.to_owned()).or_insert_with(|| {
            let asked = self.producer.get().map(|producer| producer.partitions(topic));
            // Whatever is wrong with the topic is said when the record is sent.
            asked.and_then(Result::ok).unwrap_or(0)
        });
        usize::try_from(partition).is_ok_and(|number| number < count).then_some(partition)
    }
}

fn came_from(letter: &StoredLetter) -> Option<(&str, i32)> {
    Some((&letter.origin, partition_in(&letter.origin, &letter.message_id)?))
}

/// Where a letter would go, in words.
pub fn destination(letter: &StoredLetter) -> String {
    let partition = came_from(letter).map(|(_, partition)| format!(", partition {partition}"));
    format!("topic {}{}", letter.origin, partition.unwrap_or_default())
}
