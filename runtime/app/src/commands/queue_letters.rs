//! Dead letters in a queue of SQS, ours and other tools'. To look at a letter is to receive it: while a
//! command runs, nobody else sees those it has looked at.

use super::letterbox::{Found, Letterbox};
use super::sqs;
use crate::cli::{LetterId, Which};
use crate::config::{PipelineConfig, SourceConfig, SqsConfig};
use crate::exit::{Fail, Outcome};
use pelton_sources::sqs::{Desk, KeptLetter, Outgoing, queue_name};
use pelton_store::StoredLetter;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a letter is invisible to others while it is looked at.
const HOLD: Duration = Duration::from_secs(300);

/// The letters of a pipeline in their queue.
pub struct InQueue<'c> {
    sqs: &'c SqsConfig,
    desk: Desk,
    /// What each letter that was looked at is removed with, by its id.
    handles: RefCell<BTreeMap<String, String>>,
    back: Back<'c>,
}

/// Opens them. The service is asked later.
pub fn open<'c>(pipeline: &'c PipelineConfig, queue_url: &str) -> Result<InQueue<'c>, Fail> {
    let SourceConfig::Sqs(sqs) = &pipeline.source else {
        return Err(Fail::usage(format!("`{}` does not read SQS", pipeline.name)));
    };
    let desk = sqs::desk(sqs, queue_url).map_err(Fail::refused)?;
    Ok(InQueue { sqs, desk, handles: RefCell::default(), back: Back::new(pipeline, sqs) })
}

impl InQueue<'_> {
    fn found(&self, kept: KeptLetter) -> Found {
        let KeptLetter { id, note, key, headers, body, sent_at_ms, .. } = kept;
        let unsaid =
            |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
        let letter = StoredLetter {
            id: 0,
            message_id: note.message_id.unwrap_or_else(|| id.clone()),
            cause: unsaid(note.cause, "unknown"),
            failure: unsaid(note.failure, "unknown"),
            reason: note.reason,
            attempts: note.attempts,
            handler: note.handler,
            origin: unsaid(note.origin, queue_name(&self.sqs.queue_url)),
            key,
            headers,
            body,
            tombstone: false,
            published_at_ms: note.published_at_ms,
            failed_at_ms: note.failed_at_ms.or(sent_at_ms).unwrap_or(0),
        };
        Found { id: LetterId::Message(id), letter }
    }

    /// Every letter that can be received; some may be held by somebody else.
    fn look(
        &self,
        which: &Which,
        limit: usize,
        see: &mut dyn FnMut(Vec<Found>) -> Outcome,
    ) -> Result<u64, Fail> {
        let (mut seen, mut page) = (0, Vec::new());
        loop {
            let taken = self.desk.take(HOLD).map_err(Fail::refused)?;
            if taken.is_empty() {
                break;
            }
            for kept in taken {
                let known = self.handles.borrow_mut().insert(kept.id.clone(), kept.handle.clone());
                let found = self.found(kept);
                let wanted = which.id.as_ref().is_none_or(|id| *id == found.id)
                    && which.cause.as_ref().is_none_or(|cause| *cause == found.letter.cause);
                // What comes a second time was held too long; it is not another.
                if !wanted || known.is_some() {
                    continue;
                }
                seen += 1;
                page.push(found);
                if page.len() >= limit {
                    see(std::mem::take(&mut page))?;
                }
            }
        }
        if !page.is_empty() {
            see(page)?;
        }
        Ok(seen)
    }

    fn remove(&self, letters: &[Found]) -> Result<u64, Fail> {
        let mut gone = 0;
        for found in letters {
            let handle = self.handles.borrow_mut().remove(&found.id.to_string());
            if let Some(handle) = handle {
                gone += u64::from(self.desk.remove(&handle).map_err(Fail::refused)?);
            }
        }
        Ok(gone)
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
        let held: Vec<String> = std::mem::take(&mut *self.handles.borrow_mut()).into_values().collect();
        self.desk.give_back(&held);
        seen
    }

    fn replay(&self, letters: Vec<Found>) -> Result<u64, Fail> {
        self.back.put(letters, |gone| self.remove(gone))
    }

    fn purge(&self, letters: &[Found]) -> Result<u64, Fail> {
        self.remove(letters)
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

    /// Puts letters back, and waits until they are there. `end` is given those that are: when this is cut
    /// short before it, a message is there twice, never lost.
    pub fn put(
        &self,
        letters: Vec<Found>,
        end: impl FnOnce(&[Found]) -> Result<u64, Fail>,
    ) -> Result<u64, Fail> {
        if self.desk.get().is_none() {
            drop(self.desk.set(sqs::desk(self.sqs, &self.sqs.queue_url).map_err(Fail::refused)?));
        }
        let outgoing: Vec<Outgoing> = letters.iter().map(|found| self.returning(found)).collect();
        let results = self.desk.get().map(|desk| desk.send(&outgoing)).unwrap_or_default();
        let (mut gone, mut refused) = (Vec::new(), Ok(()));
        for (found, result) in letters.into_iter().zip(results) {
            match result {
                Ok(_) => gone.push(found),
                Err(why) => refused = refused.and_then(|()| Err(stays(&found, &why))),
            }
        }
        let count = end(&gone)?;
        refused.map(|()| count)
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

fn stays(found: &Found, why: &str) -> Fail {
    Fail::refused(format!(
        "letter {} could not be put back into {}: {why}. It stays a letter",
        found.id, found.letter.origin
    ))
}
