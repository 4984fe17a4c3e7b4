//! What short commands do: send, list and replay letters, look at the ledger, count.

use crate::ledger::show::{self, LedgerEntry};
use crate::letters::{self, Kept, LetterFilter};
use crate::numbers::unsigned;
use crate::queue::send::{self, SendError};
use crate::status::{self, PipelineStatus};
use crate::{Store, StoreError};
use pelton_core::Identity;
use pelton_core::broker::Outgoing;
use pelton_core::letter::StoredLetter;
use rusqlite::{Connection, OptionalExtension};

impl Store {
    /// Sends a batch in one transaction; on disk when it returns. Blocks. What is refused (too
    /// large, an odd id) is refused alone.
    pub fn send(
        &self,
        queue: &str,
        batch: &[Outgoing<'_>],
    ) -> Result<Vec<Result<String, SendError>>, StoreError> {
        let id = self.queue_id(queue)?;
        let (max, now) = (self.inner.options.max_message_bytes, self.inner.options.clock.now_ms());
        let db = self.db();
        self.write(&db, |db| send::send(db, (id, queue), batch, max, now))
    }

    /// Letters of a pipeline that match, oldest first. `queue` is where they go, when that is an
    /// embedded queue.
    pub fn letters(
        &self,
        pipeline: &str,
        queue: Option<&str>,
        filter: &LetterFilter,
    ) -> Result<Vec<StoredLetter>, StoreError> {
        let Some(kept) = self.kept(pipeline, queue)? else { return Ok(Vec::new()) };
        Ok(letters::list(&self.db(), kept, filter)?)
    }

    /// The number of the last letter there is now: what is written later has a higher one. `queue` is as for
    /// `letters`.
    pub fn last_letter(&self, pipeline: &str, queue: Option<&str>) -> Result<Option<u64>, StoreError> {
        let Some(kept) = self.kept(pipeline, queue)? else { return Ok(None) };
        Ok(letters::last(&self.db(), kept)?)
    }

    /// Puts letters back into the queues they came from, with their own ids, and removes them, in
    /// one transaction; their ledger entries are opened again. Each comes with its deduplication key,
    /// where that is not its id. Returns how many: another command may have taken some first.
    pub fn replay(
        &self,
        pipeline: &str,
        queue: Option<&str>,
        letters: &[(StoredLetter, Option<Vec<u8>>)],
    ) -> Result<usize, StoreError> {
        let (Some(kept), Some(id)) = (self.kept(pipeline, queue)?, self.pipeline_id(pipeline)?) else {
            return Ok(0);
        };
        let now = self.inner.options.clock.now_ms();
        let db = self.db();
        self.write(&db, |db| {
            let mut replayed = Vec::with_capacity(letters.len());
            for (letter, key) in letters {
                if letters::replay(db, kept, letter, now)? {
                    replayed.push(identity_of(letter, key.as_deref()));
                }
            }
            show::forget(db, id, &replayed)?;
            Ok(replayed.len())
        })
    }

    /// Puts messages of letters that are kept elsewhere back into the embedded queues that they are for, as
    /// `replay` does; who keeps the letters removes them then. On disk when it returns. Blocks.
    pub fn put_back(&self, pipeline: &str, messages: &[Outgoing<'_>]) -> Result<(), StoreError> {
        let id = self.pipeline_id(pipeline)?;
        let now = self.inner.options.clock.now_ms();
        let db = self.db();
        self.write(&db, |db| {
            for message in messages {
                letters::put_back(db, message, now)?;
            }
            // A pipeline that never ran has no entries.
            if let Some(id) = id {
                let back: Vec<Identity> = messages.iter().filter_map(identity_of_replay).collect();
                show::forget(db, id, &back)?;
            }
            Ok(())
        })
    }

    /// How many letters a pipeline has in one place. `queue` is as for `letters`.
    pub fn letter_count(&self, pipeline: &str, queue: Option<&str>) -> Result<u64, StoreError> {
        let Some(kept) = self.kept(pipeline, queue)? else { return Ok(0) };
        let (sql, id) = match kept {
            Kept::Table(pipeline) => ("SELECT letters FROM pipelines WHERE id = ?1", pipeline),
            Kept::Queue(queue) => ("SELECT depth FROM queues WHERE id = ?1", queue),
        };
        Ok(self.db().query_row(sql, [id], |r| r.get(0)).map(unsigned)?)
    }

    /// Removes letters for good; how many there were.
    pub fn purge(&self, pipeline: &str, queue: Option<&str>, ids: &[u64]) -> Result<usize, StoreError> {
        let Some(kept) = self.kept(pipeline, queue)? else { return Ok(0) };
        let (db, now) = (self.db(), self.inner.options.clock.now_ms());
        self.write(&db, |db| Ok(letters::purge(db, kept, ids, now)?))
    }

    /// What the ledger knows of a key.
    pub fn ledger_show(
        &self,
        pipeline: &str,
        queue: Option<&str>,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<LedgerEntry>, StoreError> {
        let Some(id) = self.pipeline_id(pipeline)? else { return Ok(None) };
        let db = self.db();
        for identity in show::identities(&db, id, queue, key.as_ref())? {
            if let Some(entry) = show::show(&db, id, identity)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Forgets a key, so that a message with it is handled again. Whether anything was known. A
    /// running worker must not be there: it knows completed positions by heart.
    pub fn ledger_forget(
        &self,
        pipeline: &str,
        queue: Option<&str>,
        key: impl AsRef<[u8]>,
    ) -> Result<bool, StoreError> {
        let Some(id) = self.pipeline_id(pipeline)? else { return Ok(false) };
        let db = self.db();
        self.write(&db, |db| {
            let identities = show::identities(db, id, queue, key.as_ref())?;
            Ok(show::forget(db, id, &identities)?)
        })
    }

    /// How a pipeline stands.
    pub fn status(
        &self,
        pipeline: &str,
        queue: Option<&str>,
        letters: Option<&str>,
    ) -> Result<PipelineStatus, StoreError> {
        let now = self.inner.options.clock.now_ms();
        Ok(status::read(&self.db(), pipeline, queue, letters, now)?)
    }

    /// The number of a pipeline's topic, from 0: given at its first use, and never to another.
    pub fn topic_number(&self, pipeline: &str, topic: &str) -> Result<u32, StoreError> {
        let db = self.db();
        let sql = "INSERT INTO topics(pipeline, number, name)
                   VALUES (?1, (SELECT count(*) FROM topics WHERE pipeline = ?1), ?2)
                   ON CONFLICT DO UPDATE SET name = name RETURNING number";
        self.write(&db, |db| {
            let id = pipeline_made(db, pipeline)?;
            Ok(db.query_row(sql, rusqlite::params![id, topic], |r| r.get(0))?)
        })
    }

    /// Whether a pipeline has dealt with messages, and a consumer group was the one that read a topic of it
    /// last.
    pub fn has_read(&self, pipeline: &str, topic: &str, group: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS(SELECT 1 FROM topics JOIN pipelines p ON p.id = topics.pipeline
                   WHERE p.name = ?1 AND topics.name = ?2 AND group_id = ?3
                   AND EXISTS(SELECT 1 FROM counters WHERE pipeline = p.id AND number > 0))";
        Ok(self.db().query_row(sql, [pipeline, topic, group], |r| r.get(0))?)
    }

    pub(crate) fn pipeline_id(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id FROM pipelines WHERE name = ?1";
        Ok(self.db().query_row(sql, [name], |r| r.get(0)).optional()?)
    }

    fn kept(&self, pipeline: &str, queue: Option<&str>) -> Result<Option<Kept>, StoreError> {
        let Some(queue) = queue else { return Ok(self.pipeline_id(pipeline)?.map(Kept::Table)) };
        let sql = "SELECT id FROM queues WHERE name = ?1";
        Ok(self.db().query_row(sql, [queue], |r| r.get(0)).optional()?.map(Kept::Queue))
    }
}

/// The number of a pipeline, which is made if it is not there yet, in a transaction of the caller's.
pub(crate) fn pipeline_made(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO pipelines(name) VALUES (?1) ON CONFLICT DO UPDATE SET name = name RETURNING id";
    db.query_row(sql, [name], |r| r.get(0))
}

/// What the ledger knows a letter by: its entry is opened again when it goes back.
fn identity_of(letter: &StoredLetter, key: Option<&[u8]>) -> Identity {
    Identity::Key(crate::ledger_key(key.unwrap_or(letter.message_id.as_bytes())))
}

/// The same of a message that goes back.
fn identity_of_replay(message: &Outgoing<'_>) -> Option<Identity> {
    let key = message.replay.as_ref()?.ledger_key.as_deref();
    let key = key.or_else(|| message.id.as_ref().map(|id| id.as_bytes()))?;
    Some(Identity::Key(crate::ledger_key(key)))
}
