//! Dead letters in a stream or a list of Redis, ours and other tools', for commands.

use super::client::Client;
use super::config::RedisConfig;
use super::dead_letter_record::{DeadLetterRecord, LetterPlace};
use super::number::count;
use pelton_core::broker::{LetterQuery, LetterReader, OpenError};
use pelton_core::letter::{LetterId, StoredLetter};
use std::collections::{BTreeMap, VecDeque};

/// Letters of one question.
const PAGE: usize = 200;

/// The letters of a pipeline where they are kept.
pub struct RedisLetterReader<'c> {
    redis: &'c RedisConfig,
    place: &'c LetterPlace,
    client: Client,
    walk: Walk,
}

/// A walk under way. Older letters are met first, so those that were there at its beginning are so many.
#[derive(Default)]
struct Walk {
    query: LetterQuery,
    /// The last one of a stream that was looked at.
    after: Option<String>,
    /// Looked at.
    passed: u64,
    /// Removed since the walk began: a list has moved up by so many.
    removed: u64,
    /// Not looked at, of those that were there.
    left: u64,
    /// What was answered last, of what is meant.
    ready: VecDeque<StoredLetter>,
    /// What each of these is removed by.
    records: BTreeMap<LetterId, DeadLetterRecord>,
}

impl<'c> RedisLetterReader<'c> {
    /// The server is asked later: it may be away, and some letters be kept elsewhere.
    ///
    /// # Errors
    /// In words: nothing could be asked here.
    pub fn open(redis: &'c RedisConfig, place: &'c LetterPlace) -> Result<Self, String> {
        let client = redis.server(place.key()).and_then(Client::unconnected)?;
        Ok(Self { redis, place, client, walk: Walk::default() })
    }

    fn letter(&self, kept: &DeadLetterRecord) -> StoredLetter {
        let DeadLetterRecord { id, note, key, headers, body, at_ms, .. } = kept.clone();
        let own_id = format!("{}/{id}", self.place.key());
        let noted = StoredLetter::noted(LetterId::Message(id), note, own_id, &self.redis.key, at_ms);
        StoredLetter { key, headers, body, ..noted }
    }

    /// Asks for the letters behind those that were looked at.
    fn ask(&mut self) -> Result<(), String> {
        let behind = self.walk.passed.saturating_sub(self.walk.removed);
        let most = PAGE.min(usize::try_from(self.walk.left).unwrap_or(PAGE));
        let page = self.client.letters(self.place, self.walk.after.as_deref(), behind, most)?;
        self.walk.left = match page.last() {
            Some(last) => {
                self.walk.after = Some(last.id.clone());
                self.walk.left.saturating_sub(count(page.len()))
            }
            None => 0,
        };
        self.walk.passed = self.walk.passed.saturating_add(count(page.len()));
        self.walk.records.clear();
        for kept in page {
            let letter = self.letter(&kept);
            if self.walk.query.means(&letter) {
                // The same letter twice is two letters, with one id.
                self.walk.records.insert(letter.id.clone(), kept);
                self.walk.ready.push_back(letter);
            }
        }
        Ok(())
    }
}

impl LetterReader for RedisLetterReader<'_> {
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError> {
        let left = self.client.count_letters(self.place).map_err(OpenError::Refused)?;
        self.walk = Walk { query: query.clone(), left, ..Walk::default() };
        Ok(())
    }

    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError> {
        while self.walk.ready.is_empty() && self.walk.left > 0 {
            self.ask().map_err(OpenError::Refused)?;
        }
        let most = limit.min(self.walk.ready.len());
        Ok(self.walk.ready.drain(..most).collect())
    }

    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError> {
        let mut gone = 0;
        for letter in letters {
            if let Some(kept) = self.walk.records.get(&letter.id) {
                gone += u64::from(self.client.remove(self.place, kept).map_err(OpenError::Refused)?);
            }
        }
        self.walk.removed += gone;
        Ok(gone)
    }
}
