//! The outbox: where pipelines send to, what waits to be sent, and what was refused.

mod home;
mod letters;
pub mod rows;
pub mod targets;

use crate::commands::pipeline_made;
use crate::numbers::unsigned;
use crate::queue::Queue;
use crate::{Store, StoreError, db};
use home::DataDirOutbox;
use pelton_core::effects::{KnownTarget, OutboxHome, Purge, Target, Waiting};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::Path;
use std::sync::Arc;

/// Where a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where<'a> {
    /// An embedded queue of the data directory: what is sent there is committed there.
    Queue(&'a str),
    /// Anywhere else: a relay sends what is committed to the outbox.
    Relay,
}

impl Store {
    /// The outbox as relays see it. Of the owner only.
    pub fn outbox_home(&self) -> Result<Arc<dyn OutboxHome>, StoreError> {
        let running = self.running()?;
        let (readers, writer) = (running.readers.clone(), running.writer.clone());
        Ok(Arc::new(DataDirOutbox { readers, targets: running.targets.clone(), writer }))
    }

    /// A target of a pipeline by its name, and where it is from now on. Made when it is not there yet; the
    /// owner can send to it then. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Waits`] where it was a relay's, messages wait for that, and it is to be a queue.
    pub fn target(&self, pipeline: &str, name: &str, place: Where<'_>) -> Result<Target, StoreError> {
        let queue = match place {
            Where::Queue(queue) => Some(self.open_queue(queue)?),
            Where::Relay => None,
        };
        let db = self.db();
        let (target, depth) = self.write_target(&db, pipeline, name, queue.as_deref())?;
        if let Ok(running) = self.running() {
            running.targets.open(target, queue, rows::backlog(&db, target, depth)?);
        }
        Ok(target)
    }

    /// The target, and how many messages wait for it. Nothing is written when nothing has changed.
    fn write_target(
        &self,
        db: &Connection,
        pipeline: &str,
        name: &str,
        queue: Option<&Queue>,
    ) -> Result<(Target, i64), StoreError> {
        let queue = queue.map(|queue| queue.id);
        let sql = "SELECT t.id, t.depth FROM targets t JOIN pipelines p ON p.id = t.pipeline
                   WHERE p.name = ?1 AND t.name = ?2 AND t.queue IS ?3";
        let numbers = |r: &rusqlite::Row<'_>| Ok((Target(r.get(0)?), r.get(1)?));
        let known = db.query_row(sql, params![pipeline, name, queue], numbers).optional()?;
        if let Some(known) = known {
            return Ok(known);
        }
        self.write(db, |db| {
            let sql = "INSERT INTO targets(pipeline, name, queue) VALUES (?1, ?2, ?3)
                       ON CONFLICT DO UPDATE SET queue = excluded.queue RETURNING id, depth";
            let id = pipeline_made(db, pipeline)?;
            let (target, depth) = db.query_row(sql, params![id, name, queue], numbers)?;
            if queue.is_some() && depth > 0 {
                let (pipeline, target) = (pipeline.to_owned(), name.to_owned());
                return Err(StoreError::Waits { pipeline, target, messages: unsigned(depth) });
            }
            Ok((target, depth))
        })
    }

    /// The targets that a pipeline has, or had, in the order in which they were first named. Blocks, as all
    /// that follow do.
    pub fn targets(&self, pipeline: &str) -> Result<Vec<KnownTarget>, StoreError> {
        let db = self.db();
        Ok(known(&db, "p.name = ?1", params![pipeline])?)
    }

    /// The targets, of whatever pipeline, for which messages wait: none of them may be dropped from the
    /// configuration, or become a queue, before they are sent or purged.
    pub fn waiting_targets(&self) -> Result<Vec<KnownTarget>, StoreError> {
        let db = self.db();
        Ok(known(&db, "t.depth > 0", params![])?)
    }

    /// The same of a directory in which nothing is to be changed: no target where there is no database, or
    /// one of a version that had none.
    pub fn waiting_in(dir: &Path) -> Result<Vec<KnownTarget>, StoreError> {
        let path = db::file(dir);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(db::BUSY)?;
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'targets'";
        let tables: i64 = db.query_row(sql, [], |r| r.get(0))?;
        if tables == 0 { Ok(Vec::new()) } else { Ok(known(&db, "t.depth > 0", params![])?) }
    }

    /// At most `max` messages that wait for a target, in the order of commit, those behind row `after`; fewer
    /// where they are large. An empty page is the end.
    pub fn outbox(&self, target: Target, after: u64, max: usize) -> Result<Vec<Waiting>, StoreError> {
        Ok(rows::page(&self.db(), target, after, max)?)
    }

    /// Removes messages of a target that wait, for good: these rows, or all up to one. How many there were.
    /// What a relay is sending meanwhile may still arrive.
    pub fn purge_outbox(&self, target: Target, rows: Purge<'_>) -> Result<u64, StoreError> {
        let db = self.db();
        self.write(&db, |db| {
            let ours = |row: &&u64| rows::target_of(**row) == target.0;
            let gone = match rows {
                Purge::Rows(rows) => {
                    let gone = rows.iter().filter(ours).map(|row| rows::delete(db, *row, *row));
                    gone.sum::<rusqlite::Result<u64>>()?
                }
                Purge::UpTo(last) if rows::target_of(last) == target.0 => {
                    rows::delete(db, rows::id(target.0, 0), last)?
                }
                Purge::UpTo(_) => 0,
            };
            let sql = "UPDATE targets SET depth = depth - ?2 WHERE id = ?1";
            db.execute(sql, params![target.0, crate::numbers::signed(gone)])?;
            Ok(gone)
        })
    }
}

fn known(db: &Connection, which: &str, of: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Vec<KnownTarget>> {
    let sql = format!(
        "SELECT t.id, p.name, t.name, q.name, t.depth, t.letters FROM targets t
         JOIN pipelines p ON p.id = t.pipeline LEFT JOIN queues q ON q.id = t.queue
         WHERE {which} ORDER BY t.id"
    );
    // Depth and oldest row belong together.
    let snapshot = db.unchecked_transaction()?;
    let mut statement = snapshot.prepare(&sql)?;
    let mut rows = statement.query(of)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let target = Target(row.get(0)?);
        all.push(KnownTarget {
            target,
            pipeline: row.get(1)?,
            name: row.get(2)?,
            queue: row.get(3)?,
            backlog: rows::backlog(db, target, row.get(4)?)?,
            letters: unsigned(row.get(5)?),
        });
    }
    Ok(all)
}
