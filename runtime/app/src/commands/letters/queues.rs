//! Dead letters in a queue of SQS, ours and other tools'. To look at a letter is to receive it: while a
//! command runs, nobody else sees those it has looked at.

use super::{DeadLetterStore, Found, back, noted};
use crate::cli::{LetterId, Which};
use crate::commands::brokers::sqs;
use crate::config::PipelineConfig;
use crate::exit::{Fail, Outcome};
use crate::registry::SourceConfig;
use crate::telemetry::time::now_ms;
use pelton_sqs::{DeadLetterRecord, Outgoing, QueueAdmin, QueueConfig, SqsConfig, is_fifo};
use pelton_store::EmbeddedConfig;
use pelton_store::{Store, StoredLetter};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a letter is invisible to others while it is looked at.
const HOLD: Duration = Duration::from_secs(300);

/// How far the service's clock may be behind ours: it refuses requests of a clock that is further off.
const SKEW_MS: u64 = 300_000;
/// Receives in a row that bring letters only that came later: then the others are passed, however many more
/// come.
const NEWS: u32 = 20;

/// The letters of a pipeline in their queue.
pub struct InQueue<'c> {
    pipeline: &'c PipelineConfig,
    desk: QueueAdmin,
    /// What each letter that was looked at is removed with, by its id.
    handles: RefCell<BTreeMap<String, String>>,
    /// Marks of the letters that this command puts back.
    gone_back: RefCell<BTreeSet<String>>,
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
    let (handles, gone_back) = Default::default();
    Ok(InQueue { pipeline, desk, handles, gone_back, back })
}

impl InQueue<'_> {
    fn found(&self, kept: DeadLetterRecord) -> Found {
        let DeadLetterRecord { id, mut note, key, headers, body, sent_at_ms, .. } = kept;
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
            SourceConfig::Embedded(EmbeddedConfig { queue }) => queue == origin,
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
            SourceConfig::Embedded(EmbeddedConfig { queue }) => queue,
            #[cfg(feature = "kafka")]
            SourceConfig::Kafka(kafka) => kafka.topics.first().map_or("", String::as_str),
            #[cfg(feature = "redis")]
            SourceConfig::Redis(redis) => &redis.key,
            SourceConfig::Sqs(sqs) => sqs.queue.name(),
        }
    }

    /// Whether a letter is of a message that the walk itself put back.
    fn came_back(&self, kept: &DeadLetterRecord) -> bool {
        let gone_back = self.gone_back.borrow();
        [&kept.replays, &kept.note.message_id].into_iter().flatten().any(|mark| gone_back.contains(mark))
    }

    /// Says so when letters were passed because they came later.
    fn say_what_came_later(&self, later: u64) {
        if later > 0 {
            note!(
                "note: {later} letters of {} were passed: by the clock of SQS they came after this command \
                 had begun. Run it again for them; if they were there before, the clock of this machine is \
                 behind",
                self.pipeline.name
            );
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
        let (began_ms, mut only_news, mut later) = (now_ms(), 0, 0);
        loop {
            let taken = self.desk.take(limit, HOLD).map_err(Fail::refused)?;
            let nothing = taken.is_empty();
            only_news += 1;
            for kept in taken {
                self.handles.borrow_mut().insert(kept.id.clone(), kept.handle.clone());
                // By any clock.
                let is_later = kept.sent_at_ms.is_some_and(|sent| sent > began_ms.saturating_add(SKEW_MS));
                later += u64::from(is_later);
                if is_later || self.came_back(&kept) {
                    continue;
                }
                only_news = 0;
                // What comes a second time was held too long; it is not another.
                let known = !looked_at.insert(kept.id.clone());
                let found = self.found(kept);
                let wanted = which.id.as_ref().is_none_or(|id| *id == found.id)
                    && which.cause.as_ref().is_none_or(|cause| *cause == found.letter.cause);
                if !wanted || known {
                    continue;
                }
                seen += 1;
                page.push(found);
                if page.len() >= limit {
                    see(std::mem::take(&mut page))?;
                }
            }
            if !nothing && only_news <= NEWS {
                continue;
            }
            let held = self.handles.borrow().len();
            if !page.is_empty() {
                see(std::mem::take(&mut page))?;
            }
            // In order: what stands behind letters that are gone now can be received.
            if !self.desk.is_fifo() || self.handles.borrow().len() >= held {
                self.say_what_came_later(later);
                return Ok(seen);
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
                "note: about {behind} more letters of {} stand behind these in their groups: SQS hands \
                 them out when these are replayed or purged",
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

impl DeadLetterStore for InQueue<'_> {
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

    fn goes_back(&self, letters: &[Found]) {
        self.gone_back.borrow_mut().extend(letters.iter().map(|found| self.back.mark(found)));
    }

    fn replay(&self, letters: Vec<Found>) -> Result<u64, Fail> {
        self.goes_back(&letters);
        self.back.put(letters, |gone| self.purge(gone))
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
    desk: OnceCell<QueueAdmin>,
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

    /// Each letter comes back once, however often the message was one.
    pub fn replay(&self, found: &Found) -> String {
        format!("{}/{}/{}", self.pipeline.name, found.id, found.letter.failed_at_ms)
    }

    fn returning(&self, found: &Found) -> Outgoing {
        let letter = &found.letter;
        let replay = self.replay(found);
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
