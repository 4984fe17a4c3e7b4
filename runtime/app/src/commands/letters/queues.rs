//! Dead letters in a queue of SQS, ours and other tools'. To look at a letter is to receive it: while a
//! command runs, nobody else sees those it has looked at.

use super::{Found, Letterbox, back, noted};
use crate::cli::{LetterId, Which};
use crate::commands::brokers::sqs;
use crate::config::{PipelineConfig, QueueConfig, SourceConfig, SqsConfig};
use crate::exit::{Fail, Outcome};
use pelton_sources::sqs::{Desk, KeptLetter, Outgoing, is_fifo};
use pelton_store::{Store, StoredLetter};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a letter is invisible to others while it is looked at.
const HOLD: Duration = Duration::from_secs(300);

/// The letters of a pipeline in their queue.
pub struct InQueue<'c> {
    pipeline: &'c PipelineConfig,
    desk: Desk,
    /// What each letter that was looked at is removed with, by its id.
    handles: RefCell<BTreeMap<String, String>>,
    back: back::Back<'c>,
}

/// Opens them. The service is asked later.
pub fn open<'c>(
    pipeline: &'c PipelineConfig,
    queue: &QueueConfig,
    store: &Store,
) -> Result<InQueue<'c>, Fail> {
    let desk = sqs::desk(queue).map_err(Fail::refused)?;
    let back = back::Back::of(pipeline, store);
    Ok(InQueue { pipeline, desk, handles: RefCell::default(), back })
}

impl InQueue<'_> {
    fn found(&self, kept: KeptLetter) -> Found {
        let KeptLetter { id, mut note, key, headers, body, sent_at_ms, .. } = kept;
        let own = self.own_origin();
        // A replay puts it there, so another pipeline's topic or queue is of no use.
        if !self.reads(&note.origin) {
            note.origin = own.to_owned();
        }
        let letter = StoredLetter { key, headers, body, ..noted(note, id.clone(), own, sent_at_ms) };
        Found { id: LetterId::Message(id), letter }
    }

    /// Whether letters of this origin go back there.
    fn reads(&self, origin: &str) -> bool {
        match &self.pipeline.source {
            SourceConfig::Embedded { queue } => queue == origin,
            #[cfg(feature = "kafka")]
            SourceConfig::Kafka(kafka) => kafka.topics.iter().any(|topic| topic == origin),
            #[cfg(feature = "redis")]
            SourceConfig::Redis(redis) => redis.key == origin,
            // All go back into the queue that is read, whatever it was called.
            SourceConfig::Sqs(_) => !origin.is_empty(),
        }
    }

    fn own_origin(&self) -> &str {
        match &self.pipeline.source {
            SourceConfig::Embedded { queue } => queue,
            #[cfg(feature = "kafka")]
            SourceConfig::Kafka(kafka) => kafka.topics.first().map_or("", String::as_str),
            #[cfg(feature = "redis")]
            SourceConfig::Redis(redis) => &redis.key,
            SourceConfig::Sqs(sqs) => sqs.queue.name(),
        }
    }

    /// Every letter that can be received; some may be held by somebody else.
    fn look(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail> {
        let (mut seen, mut page, mut looked_at) = (0, Vec::new(), BTreeSet::new());
        loop {
            let taken = self.desk.take(limit, HOLD).map_err(Fail::refused)?;
            if taken.is_empty() {
                let held = self.handles.borrow().len();
                if !page.is_empty() {
                    see(std::mem::take(&mut page))?;
                }
                // In order: what stands behind letters that are gone now can be received.
                if self.desk.is_fifo() && self.handles.borrow().len() < held {
                    continue;
                }
                return Ok(seen);
            }
            for kept in taken {
                let known = !looked_at.insert(kept.id.clone());
                self.handles.borrow_mut().insert(kept.id.clone(), kept.handle.clone());
                let found = self.found(kept);
                let wanted = which.id.as_ref().is_none_or(|id| *id == found.id)
                    && which.cause.as_ref().is_none_or(|cause| *cause == found.letter.cause);
                // What comes a second time was held too long; it is not another.
                if !wanted || known {
                    continue;
                }
                seen += 1;
                page.push(found);
                if page.len() >= limit {
                    see(std::mem::take(&mut page))?;
                }
            }
        }
    }

    /// Says so when there are letters that could not be looked at.
    fn say_what_is_behind(&self, held: usize) {
        let there =
            if self.desk.is_fifo() { self.desk.facts().map(|facts| facts.unsettled()) } else { Ok(0) };
        let behind = there.unwrap_or(0).saturating_sub(held as u64);
        if behind > 0 {
            note!(
                "note: about {behind} more letters of {} stand behind these in their groups: SQS hands them out when these are replayed or purged",
                self.pipeline.name
            );
        }
    }

    fn remove(&self, letters: &[Found]) -> Result<u64, Fail> {
        let mut handles = self.handles.borrow_mut();
        let taken: Vec<String> =
            letters.iter().filter_map(|found| handles.remove(&found.id.to_string())).collect();
        self.desk.remove(&taken).map_err(Fail::refused)
    }
}

impl Letterbox for InQueue<'_> {
    fn each(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail> {
        let seen = self.look(which, limit, see);
        self.say_what_is_behind(self.handles.borrow().len());
        let held: Vec<String> = std::mem::take(&mut *self.handles.borrow_mut()).into_values().collect();
        self.desk.give_back(&held);
        seen
    }

    fn purge(&self, letters: &[Found]) -> Result<u64, Fail> {
        self.remove(letters)
    }

    fn back(&self) -> &back::Back<'_> {
        &self.back
    }
}

/// The way back into the queue that the pipeline reads.
pub struct Back<'c> {
    pipeline: &'c PipelineConfig,
    sqs: &'c SqsConfig,
    /// Opened for the first letter.
    desk: OnceCell<Desk>,
}

impl<'c> Back<'c> {
    pub fn new(pipeline: &'c PipelineConfig, sqs: &'c SqsConfig) -> Self {
        Self { pipeline, sqs, desk: OnceCell::new() }
    }

    /// Where a letter would go, in words.
    pub fn destination(&self, letter: &StoredLetter) -> String {
        let key = letter.key.as_deref().filter(|_| is_fifo(&self.sqs.queue.url));
        let group = key.map(|key| format!(", group {}", String::from_utf8_lossy(key)));
        format!("SQS queue {}{}", self.sqs.queue.name(), group.unwrap_or_default())
    }

    /// Sends letters; for each, why it is not there.
    pub fn send(&self, letters: &[Found]) -> Result<Vec<Result<(), String>>, Fail> {
        if self.desk.get().is_none() {
            drop(self.desk.set(sqs::desk(&self.sqs.queue).map_err(Fail::refused)?));
        }
        let outgoing: Vec<Outgoing> = letters.iter().map(|found| self.fitting(found)).collect();
        let results = self.desk.get().map(|desk| desk.send(&outgoing)).unwrap_or_default();
        Ok(results.into_iter().map(|result| result.map(drop)).collect())
    }

    /// A message that filled all the room there is goes back as it came, or it never would.
    fn fitting(&self, found: &Found) -> Outgoing {
        let outgoing = self.returning(found);
        if outgoing.fits() {
            return outgoing;
        }
        note!(
            "warning: the message of letter {} leaves no room for its id: it goes back as a new message",
            found.id
        );
        outgoing.bare()
    }

    fn returning(&self, found: &Found) -> Outgoing {
        let letter = &found.letter;
        // Each letter comes back once, however often the message was one.
        let replay = format!("{}/{}/{}", self.pipeline.name, found.id, letter.failed_at_ms);
        Outgoing {
            id: Some(letter.message_id.clone()),
            key: letter.key.clone(),
            headers: letter.headers.clone(),
            body: letter.body.clone(),
            dedup_id: Some(replay.clone()),
            replays: Some(replay),
            published_at_ms: letter.published_at_ms,
            ..Outgoing::default()
        }
    }
}
