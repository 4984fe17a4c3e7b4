//! Dead letters in topics, for commands. A topic does not lose single records: those that were replayed or
//! purged are known to the books, and not shown any more.

use super::admin::ANSWER_TIMEOUT;
use super::config::KafkaConfig;
use super::dead_letter_config::LetterTopics;
use super::dead_letter_record::{DeadLetterRecord, dead_letter_record};
use super::reader::{Cursor, Part, Reader};
use pelton_core::broker::{DoneLetters, LetterQuery, LetterReader, Listener, OpenError, SharedBooks};
use pelton_core::letter::{LetterId, StoredLetter};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How many letters are held in the topics now: offsets, less those done with.
pub fn count(
    kafka: &KafkaConfig,
    letters: &LetterTopics,
    books: &dyn SharedBooks,
    listener: &dyn Listener,
) -> Result<u64, OpenError> {
    let reader = open(kafka)?;
    let mut held = 0;
    for topic in names(letters) {
        let parts = reader.all_of(topic).map_err(OpenError::Refused)?.unwrap_or_default();
        let done = done(books, listener, &reader, topic, &parts)?;
        let of = |p: &Part| {
            let (from, to) = (unsigned(p.from), unsigned(p.to));
            p.len().saturating_sub(done.count(p.partition.cast_unsigned(), from, to))
        };
        held += parts.iter().map(of).sum::<u64>();
    }
    Ok(held)
}

fn open(kafka: &KafkaConfig) -> Result<Reader, OpenError> {
    let reader = Reader::open(&kafka.bootstrap_servers, &kafka.librdkafka, ANSWER_TIMEOUT);
    reader.map_err(OpenError::Settings)
}

/// Several topics that are read may have one for their letters.
fn names(letters: &LetterTopics) -> BTreeSet<&str> {
    letters.topics.iter().map(|topic| topic.name.as_str()).collect()
}

/// What is done with in a topic. Of another of its name nothing is; that it was made anew is known by its
/// id, or where what was done with lies behind its end.
fn done(
    books: &dyn SharedBooks,
    listener: &dyn Listener,
    reader: &Reader,
    topic: &str,
    parts: &[Part],
) -> Result<Box<dyn DoneLetters>, OpenError> {
    if let Some(id) = reader.id_of(topic, parts).map_err(OpenError::Refused)?
        && books.letters_topic_is(topic, &id)?
    {
        listener.line(&format!(
            "note: the topic `{topic}` was deleted and made anew: all letters in it are new"
        ));
    }
    let done = books.letters_done(topic)?;
    let mut anew = false;
    for part in parts {
        let partition = part.partition.cast_unsigned();
        if done.last(partition).is_some_and(|last| last >= unsigned(part.to)) {
            books.letters_anew(topic, partition)?;
            anew = true;
        }
    }
    if anew { Ok(books.letters_done(topic)?) } else { Ok(done) }
}

fn unsigned(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}

impl Part {
    fn len(&self) -> u64 {
        unsigned(self.to - self.from)
    }
}

/// The letters of a pipeline in their topics.
pub struct KafkaLetterReader<'c> {
    kafka: &'c KafkaConfig,
    topics: BTreeSet<&'c str>,
    books: Arc<dyn SharedBooks>,
    listener: &'c dyn Listener,
    walk: Option<Walk<'c>>,
}

/// A walk under way. All ends are noted before the first letter is read: what comes back from one topic may
/// fail into another.
struct Walk<'c> {
    reader: Reader,
    query: LetterQuery,
    ahead: VecDeque<(&'c str, Vec<Part>)>,
    open: Option<OpenTopic<'c>>,
}

/// The topic that is read now, one partition after the other, so that each comes in its order.
struct OpenTopic<'c> {
    topic: &'c str,
    done: Box<dyn DoneLetters>,
    parts: VecDeque<Part>,
    open: Option<Cursor>,
    looked_at: u64,
    all: u64,
}

impl<'c> KafkaLetterReader<'c> {
    /// The broker is asked when a walk begins.
    pub fn new(
        kafka: &'c KafkaConfig,
        letters: &'c LetterTopics,
        books: Arc<dyn SharedBooks>,
        listener: &'c dyn Listener,
    ) -> Self {
        Self { kafka, topics: names(letters), books, listener, walk: None }
    }

    /// The next letter that is meant.
    fn letter(&mut self) -> Result<Option<StoredLetter>, OpenError> {
        let Some(walk) = &mut self.walk else { return Ok(None) };
        loop {
            let Some(topic) = &mut walk.open else {
                let Some((topic, parts)) = walk.ahead.pop_front() else { return Ok(None) };
                let done = done(&*self.books, self.listener, &walk.reader, topic, &parts)?;
                walk.open = Some(OpenTopic::new(topic, done, parts, &walk.query));
                continue;
            };
            let Some(record) = topic.next(&walk.reader, self.listener)? else {
                walk.open = None;
                continue;
            };
            let letter = letter(self.kafka, record);
            if walk.query.means(&letter) {
                return Ok(Some(letter));
            }
        }
    }
}

impl<'c> OpenTopic<'c> {
    fn new(topic: &'c str, done: Box<dyn DoneLetters>, parts: Vec<Part>, query: &LetterQuery) -> Self {
        let parts = match &query.id {
            Some(id) => only(id, topic, &parts),
            None => parts,
        };
        let all = parts.iter().map(Part::len).sum();
        Self { topic, done, parts: parts.into(), open: None, looked_at: 0, all }
    }

    /// The next letter that is not done with. None at the end that the topic had.
    fn next(
        &mut self,
        reader: &Reader,
        listener: &dyn Listener,
    ) -> Result<Option<DeadLetterRecord>, OpenError> {
        let unread = |unread: super::reader::Unread| OpenError::Refused(unread.words);
        loop {
            let Some(cursor) = &mut self.open else {
                let Some(part) = self.parts.pop_front() else {
                    listener.looked_at(self.all, self.all);
                    return Ok(None);
                };
                self.open = Some(reader.begin(self.topic, &[part]).map_err(unread)?);
                continue;
            };
            let Some(record) = reader.next(cursor).map_err(unread)? else {
                self.open = None;
                continue;
            };
            self.looked_at += 1;
            listener.looked_at(self.looked_at, self.all);
            match dead_letter_record(&record) {
                Ok(kept) if self.done.contains(kept.partition.cast_unsigned(), unsigned(kept.offset)) => {}
                Ok(kept) => return Ok(Some(kept)),
                Err(unreadable) => listener.line(&format!("warning: {unreadable}")),
            }
        }
    }
}

/// Where nothing is said of a letter, it is its own message, of the first topic that is read.
fn letter(kafka: &KafkaConfig, kept: DeadLetterRecord) -> StoredLetter {
    let DeadLetterRecord { topic, partition, offset, note, key, headers, body, timestamp_ms } = kept;
    let own_id = format!("{topic}/{partition}/{offset}");
    let id = LetterId::Place { topic, partition, offset };
    let noted = StoredLetter::noted(id, note, own_id, kafka.first_topic(), timestamp_ms);
    StoredLetter { key, headers, body, ..noted }
}

/// The one record that is meant, if the topic may have it.
fn only(id: &LetterId, topic: &str, parts: &[Part]) -> Vec<Part> {
    let LetterId::Place { topic: wanted, partition, offset } = id else { return Vec::new() };
    let has = |p: &&Part| wanted == topic && p.partition == *partition && (p.from..p.to).contains(offset);
    let one = |_| Part { partition: *partition, from: *offset, to: *offset + 1 };
    parts.iter().filter(has).map(one).collect()
}

impl LetterReader for KafkaLetterReader<'_> {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        let (reader, mut ahead) = (open(self.kafka)?, VecDeque::new());
        for topic in &self.topics {
            let parts = reader.all_of(topic).map_err(OpenError::Refused)?;
            ahead.extend(parts.map(|parts| (*topic, parts)));
        }
        self.walk = Some(Walk { reader, query: query.clone(), ahead, open: None });
        Ok(())
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let mut page = Vec::new();
        while page.len() < limit
            && let Some(letter) = self.letter()?
        {
            page.push(letter);
        }
        Ok(page)
    }

    /// Notes letters as done with.
    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        let mut places: BTreeMap<&str, Vec<(u32, u64)>> = BTreeMap::new();
        for letter in letters {
            if let LetterId::Place { topic, partition, offset } = &letter.id {
                places.entry(topic).or_default().push((partition.cast_unsigned(), unsigned(*offset)));
            }
        }
        for (topic, places) in places {
            self.books.letters_end(topic, &places)?;
        }
        Ok(letters.len() as u64)
    }

    fn end(&mut self) {
        let open = self.walk.take().and_then(|walk| walk.open);
        open.into_iter().for_each(|topic| self.listener.looked_at(topic.all, topic.all));
    }
}
