//! Dead letters in a stream or a list of Redis, ours and other tools'; and the way back to where they
//! came from.

use super::{DeadLetterStore, Found, back, noted};
use crate::cli::{LetterId, Which};
use crate::commands::brokers::redis::client;
use crate::config::PipelineConfig;
use crate::exit::{Fail, Outcome};
use crate::registry::SourceConfig;
use pelton_redis::{Client, DeadLetterRecord, LetterPlace, Outgoing, RedisConfig, RedisKind};
use pelton_store::{Store, StoredLetter};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;

/// Letters of one question.
const PAGE: usize = 200;

/// The letters of a pipeline where they are kept.
pub struct InRedis<'c> {
    redis: &'c RedisConfig,
    place: &'c LetterPlace,
    client: Client,
    /// What each letter of the page is removed by, by its id.
    seen: RefCell<BTreeMap<String, DeadLetterRecord>>,
    /// Removed since the walk began: a list has moved up by so many.
    removed: RefCell<u64>,
    /// How many there were when a walk began elsewhere that comes here now.
    begun: Cell<Option<u64>>,
    back: back::Back<'c>,
}

/// Opens them. The server is asked later: it may be away, and some of them be here.
pub fn open<'c>(
    pipeline: &'c PipelineConfig,
    place: &'c LetterPlace,
    store: &Store,
) -> Result<InRedis<'c>, Fail> {
    let SourceConfig::Redis(redis) = &pipeline.source else {
        return Err(Fail::usage(format!("`{}` does not read Redis", pipeline.name)));
    };
    let client = redis.server(place.key()).and_then(Client::unconnected).map_err(Fail::refused)?;
    let (seen, removed, begun) = Default::default();
    Ok(InRedis { redis, place, client, seen, removed, begun, back: back::Back::of(pipeline, store) })
}

impl InRedis<'_> {
    fn count(&self) -> Result<u64, Fail> {
        self.client.count_letters(self.place).map_err(Fail::refused)
    }

    fn found(&self, kept: &DeadLetterRecord) -> Found {
        let DeadLetterRecord { id, note, key, headers, body, at_ms, .. } = kept.clone();
        let own_id = format!("{}/{id}", self.place.key());
        let letter = StoredLetter { key, headers, body, ..noted(note, own_id, &self.redis.key, at_ms) };
        Found { id: LetterId::Message(id), letter }
    }

    fn remove(&self, letters: &[Found]) -> Result<u64, Fail> {
        let mut gone = 0;
        for found in letters {
            // The same letter twice is two letters, with one id.
            let kept = self.seen.borrow().get(&found.id.to_string()).cloned();
            if let Some(kept) = kept {
                gone += u64::from(self.client.remove(self.place, &kept).map_err(Fail::refused)?);
            }
        }
        *self.removed.borrow_mut() += gone;
        Ok(gone)
    }
}

impl DeadLetterStore for InRedis<'_> {
    fn each(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail> {
        let (mut after, mut passed, mut seen) = (None, 0, 0);
        // What is written meanwhile, replays that failed again for one, is not met: the walk would not end.
        let mut left = self.begun.take().map_or_else(|| self.count(), Ok)?;
        while left > 0 {
            let behind = passed - *self.removed.borrow();
            let count = PAGE.min(usize::try_from(left).unwrap_or(PAGE));
            let page =
                self.client.letters(self.place, after.as_deref(), behind, count).map_err(Fail::refused)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            passed += page.len() as u64;
            left = left.saturating_sub(page.len() as u64);
            let mut wanted = Vec::new();
            self.seen.borrow_mut().clear();
            for kept in page {
                let found = self.found(&kept);
                let is_meant = which.id.as_ref().is_none_or(|id| *id == found.id)
                    && which.cause.as_ref().is_none_or(|cause| *cause == found.letter.cause);
                if is_meant {
                    self.seen.borrow_mut().insert(kept.id.clone(), kept);
                    wanted.push(found);
                }
            }
            seen += wanted.len() as u64;
            while !wanted.is_empty() {
                let rest = wanted.split_off(limit.min(wanted.len()));
                see(std::mem::replace(&mut wanted, rest))?;
            }
        }
        Ok(seen)
    }

    /// Older ones are met first, so that those that are meant are so many.
    fn begins(&self) -> Outcome {
        self.begun.set(Some(self.count()?));
        Ok(())
    }

    fn purge(&self, letters: &[Found]) -> Result<u64, Fail> {
        self.remove(letters)
    }

    fn back(&self) -> &back::Back<'_> {
        &self.back
    }
}

/// The way back into the stream or list that the pipeline reads.
pub struct Back<'c> {
    pipeline: &'c PipelineConfig,
    redis: &'c RedisConfig,
    /// Opened for the first letter.
    client: OnceCell<Client>,
}

impl<'c> Back<'c> {
    pub fn new(pipeline: &'c PipelineConfig, redis: &'c RedisConfig) -> Self {
        Self { pipeline, redis, client: OnceCell::new() }
    }

    /// Where letters would go, in words.
    pub fn destination(&self) -> String {
        let kind = if matches!(self.redis.kind, RedisKind::Stream(_)) { "stream" } else { "list" };
        format!("{kind} {}", self.redis.key)
    }

    /// Sends letters; for each, why it is not there.
    pub fn send(&self, letters: &[Found]) -> Result<Vec<Result<(), String>>, Fail> {
        if self.client.get().is_none() {
            drop(self.client.set(client(self.redis, &self.redis.key).map_err(Fail::refused)?));
        }
        Ok(self.client.get().map(|client| self.put(client, letters)).unwrap_or_default())
    }

    /// Whether a message says that it came back from a letter: in a list there is no place for that.
    #[cfg(feature = "sqs")]
    pub fn names_replays(&self) -> bool {
        matches!(self.redis.kind, RedisKind::Stream(_))
    }

    /// Each letter comes back once, however often the message was one.
    pub fn replay(&self, found: &Found) -> String {
        format!("{}/{}/{}", self.pipeline.name, found.id, found.letter.failed_at_ms)
    }

    fn put(&self, client: &Client, letters: &[Found]) -> Vec<Result<(), String>> {
        match &self.redis.kind {
            RedisKind::Stream(stream) => {
                let outgoing: Vec<Outgoing> = letters.iter().map(|found| self.returning(found)).collect();
                let added = client.add(&self.redis.key, &stream.names, &outgoing);
                added.into_iter().map(|result| result.map(drop)).collect()
            }
            RedisKind::List(list) => {
                let bodies: Vec<&[u8]> = letters.iter().map(|found| &*found.letter.body).collect();
                let pushed = client.push(&self.redis.key, list.pop, &bodies);
                letters.iter().map(|_| pushed.clone()).collect()
            }
        }
    }

    fn returning(&self, found: &Found) -> Outgoing {
        let letter = &found.letter;
        Outgoing {
            id: Some(letter.message_id.clone()),
            key: letter.key.clone(),
            headers: letter.headers.clone(),
            body: (!letter.tombstone).then(|| letter.body.clone()),
            published_at_ms: letter.published_at_ms,
            replays: Some(self.replay(found)),
        }
    }
}
