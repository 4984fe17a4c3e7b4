//! Dead letters in a queue of SQS, ours and other tools', for commands. To look at a letter is to receive it:
//! while a command runs, nobody else sees those it has looked at.

use super::dead_letter_record::DeadLetterRecord;
use super::queue_admin::QueueAdmin;
use pelton_broker_common::clock::wall_ms;
use pelton_core::broker::{Broker, LetterQuery, LetterReader, Listener, OpenError};
use pelton_core::letter::{LetterId, StoredLetter};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long a letter is invisible to others while it is looked at.
const HOLD: Duration = Duration::from_secs(300);
/// How far the service's clock may be behind ours: it refuses requests of a clock that is further off.
const SKEW_MS: u64 = 300_000;
/// Receives in a row that bring letters only that came later: then the others are passed, however many more
/// come.
const NEWS: u32 = 20;

/// The letters of a pipeline in their queue.
pub struct SqsLetterReader<'c> {
    admin: QueueAdmin,
    source: &'c dyn Broker,
    pipeline: &'c str,
    listener: &'c dyn Listener,
    /// What each letter that was looked at is removed with, by its id.
    handles: BTreeMap<String, String>,
    /// Marks of the letters that this command puts back.
    gone_back: BTreeSet<String>,
    walk: Walk,
}

/// A walk under way.
#[derive(Default)]
struct Walk {
    query: LetterQuery,
    began_ms: u64,
    /// Received, and not yet looked at.
    received: VecDeque<DeadLetterRecord>,
    looked_at: BTreeSet<String>,
    /// Receives in a row that brought nothing that is of this walk.
    only_news: u32,
    /// Letters that were passed because they came later.
    later: u64,
    /// The last receive brought nothing.
    nothing: bool,
    /// How many letters were held when nothing more came.
    held: Option<usize>,
    over: bool,
}

impl Walk {
    /// Nothing more comes, or only what is of no walk.
    fn rests(&self) -> bool {
        self.nothing || self.only_news > NEWS
    }
}

impl<'c> SqsLetterReader<'c> {
    /// The service is asked later.
    pub fn new(
        admin: QueueAdmin,
        source: &'c dyn Broker,
        pipeline: &'c str,
        listener: &'c dyn Listener,
    ) -> Self {
        let (handles, gone_back, walk) = Default::default();
        Self { admin, source, pipeline, listener, handles, gone_back, walk }
    }

    /// A replay puts it where it came from, so another pipeline's topic or queue is of no use.
    fn letter(&self, kept: DeadLetterRecord) -> StoredLetter {
        let DeadLetterRecord { id, mut note, key, headers, body, sent_at_ms, .. } = kept;
        note.origin = self.source.origin(&note.origin).to_owned();
        let own = self.source.origin("");
        let noted = StoredLetter::noted(LetterId::Message(id.clone()), note, id, own, sent_at_ms);
        StoredLetter { key, headers, body, ..noted }
    }

    /// A received letter, if it is of this walk, is meant, and was not met before: what comes a second time
    /// was held too long, and is not another.
    fn meet(&mut self, kept: DeadLetterRecord) -> Option<StoredLetter> {
        // By any clock.
        let latest = self.walk.began_ms.saturating_add(SKEW_MS);
        let is_later = kept.sent_at_ms.is_some_and(|sent| sent > latest);
        self.walk.later += u64::from(is_later);
        let marks = [&kept.replays, &kept.note.message_id];
        if is_later || marks.into_iter().flatten().any(|mark| self.gone_back.contains(mark)) {
            return None;
        }
        self.walk.only_news = 0;
        let is_new = self.walk.looked_at.insert(kept.id.clone());
        let letter = self.letter(kept);
        (is_new && self.walk.query.means(&letter)).then_some(letter)
    }

    /// Asks for more.
    fn receive(&mut self, limit: usize) -> Result<(), String> {
        let taken = self.admin.take(limit, HOLD)?;
        self.walk.only_news += 1;
        self.walk.nothing = taken.is_empty();
        for kept in &taken {
            self.handles.insert(kept.id.clone(), kept.handle.clone());
        }
        self.walk.received.extend(taken);
        Ok(())
    }

    /// Whether there may be more, though nothing more came. In order: what stands behind letters that are
    /// gone now can be received.
    fn may_be_more(&mut self) -> bool {
        let held = self.walk.held.take();
        let more = self.admin.is_fifo() && held.is_some_and(|held| self.handles.len() < held);
        if !more {
            self.say_what_came_later();
        }
        more
    }

    /// Says so when letters were passed because they came later.
    fn say_what_came_later(&self) {
        let later = self.walk.later;
        if later > 0 {
            self.listener.line(&format!(
                "note: {later} letters of {} were passed: by the clock of SQS they came after this command \
                 had begun. Run it again for them; if they were there before, the clock of this machine is \
                 behind",
                self.pipeline
            ));
        }
    }

    /// Says so when there are letters that could not be looked at.
    fn say_what_is_behind(&self) {
        let is_fifo = self.admin.is_fifo();
        let there = if is_fifo { self.admin.facts().map(|facts| facts.unsettled()) } else { Ok(0) };
        let behind = there.unwrap_or(0).saturating_sub(self.handles.len() as u64);
        if behind > 0 {
            self.listener.line(&format!(
                "note: about {behind} more letters of {} stand behind these in their groups: SQS hands \
                 them out when these are replayed or purged",
                self.pipeline
            ));
        }
    }
}

impl LetterReader for SqsLetterReader<'_> {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        self.walk = Walk { query: query.clone(), began_ms: wall_ms(), ..Walk::default() };
        Ok(())
    }

    /// Every letter that can be received; some may be held by somebody else.
    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        let mut page = Vec::new();
        while !self.walk.over {
            while let Some(kept) = self.walk.received.pop_front() {
                page.extend(self.meet(kept));
                if page.len() >= limit {
                    return Ok(page);
                }
            }
            if self.walk.rests() {
                if !page.is_empty() {
                    self.walk.held = Some(self.handles.len());
                    return Ok(page);
                }
                self.walk.over = !self.may_be_more();
            }
            if !self.walk.over {
                self.receive(limit).map_err(OpenError::Refused)?;
            }
        }
        Ok(page)
    }

    /// A letter comes back once; what it is known by then its source may say of it.
    fn goes_back(&mut self, letters: &[StoredLetter]) {
        let by_name = self.source.names_replays();
        let mark = |letter: &StoredLetter| {
            if by_name { letter.replay_name(self.pipeline) } else { letter.message_id.clone() }
        };
        self.gone_back.extend(letters.iter().map(mark));
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        let handle = |letter: &StoredLetter| self.handles.remove(&letter.id.to_string());
        let taken: Vec<String> = letters.iter().filter_map(handle).collect();
        self.admin.remove(&taken).map_err(OpenError::Refused)
    }

    fn end(&mut self) {
        self.say_what_is_behind();
        let held: Vec<String> = std::mem::take(&mut self.handles).into_values().collect();
        self.admin.give_back(&held);
    }
}
