//! Notices what other processes write: a message they send starts within a tick.

use crate::clock::WallClock;
use crate::outbox::rows;
use crate::outbox::targets::{OpenTarget, Targets};
use crate::queue::Queue;
use crate::writer::{Op, Writer};
use pelton_core::effects::Target;
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// SQLite tells nobody of a commit; its data version, an integer in shared memory, is looked at.
/// 25 looks a second cost next to nothing.
const TICK: Duration = Duration::from_millis(40);

/// A clock that is this much behind has jumped: corrections of the usual size are smaller.
const JUMP_MS: u64 = 1_000;

/// The thread that looks.
pub struct Waker {
    queues: Arc<Mutex<Vec<Arc<Queue>>>>,
    stop: Mutex<Option<Sender<()>>>,
}

impl Waker {
    pub fn start(
        db: Connection,
        clock: Arc<dyn WallClock>,
        writer: Arc<Writer>,
        targets: Arc<Targets>,
    ) -> std::io::Result<Self> {
        let queues: Arc<Mutex<Vec<Arc<Queue>>>> = Arc::default();
        let (stop, stopped) = channel();
        let watched = queues.clone();
        let mut wall = clock.now_ms();
        let (mut version, mut ends) = (data_version(&db), ends(&db));
        let (mut failed, mut next) = (false, Next::new());
        let look = move || {
            while matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
                let (now, found) = (clock.now_ms(), data_version(&db));
                if now + JUMP_MS < wall {
                    let queues = watched.lock().unwrap_or_else(PoisonError::into_inner);
                    writer.send(Op::Rebase(queues.clone()));
                }
                wall = now;
                if found != version {
                    version = found;
                    ends = wake(&db, &ends, &watched);
                    next = outboxes(&db, &next, &targets);
                }
                if !failed && writer.failed().is_some() {
                    failed = true;
                    let queues = watched.lock().unwrap_or_else(PoisonError::into_inner);
                    queues.iter().for_each(|q| q.look_again());
                }
            }
        };
        std::thread::Builder::new().name("store-waker".to_owned()).spawn(look)?;
        Ok(Self { queues, stop: Mutex::new(Some(stop)) })
    }

    /// Wakes this queue too, from now on.
    pub fn watch(&self, queue: Arc<Queue>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if !queues.iter().any(|known| Arc::ptr_eq(known, &queue)) {
            queues.push(queue);
        }
    }

    pub fn stop(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Where each queue ends. The worker's own commits change the data version too, and mostly no
/// queue's end.
type Ends = HashMap<i64, i64>;

/// Wakes the queues that have grown.
fn wake(db: &Connection, before: &Ends, watched: &Mutex<Vec<Arc<Queue>>>) -> Ends {
    let ends = ends(db);
    let queues = watched.lock().unwrap_or_else(PoisonError::into_inner);
    queues.iter().filter(|q| ends.get(&q.id) != before.get(&q.id)).for_each(|q| q.look_again());
    ends
}

/// The next row of each outbox.
type Next = HashMap<Target, i64>;

/// Tells relays of what another process has put into their outbox, or removed. What the worker's own commits
/// did they know; it is as true.
fn outboxes(db: &Connection, before: &Next, targets: &Targets) -> Next {
    let look = |open: &OpenTarget| -> rusqlite::Result<i64> {
        let sql = "SELECT next_seq, depth FROM targets WHERE id = ?1";
        // Of one moment.
        let snapshot = db.unchecked_transaction()?;
        let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?));
        let (next, depth) = snapshot.prepare_cached(sql)?.query_row([open.target.0], row)?;
        let grown = before.get(&open.target) != Some(&next);
        open.stands(rows::backlog(&snapshot, open.target, depth)?, grown);
        Ok(next)
    };
    let mut all = Next::new();
    for open in targets.with_outbox() {
        // What cannot be read now is news at the next look.
        all.extend(look(&open).ok().map(|next| (open.target, next)));
    }
    all
}

/// Empty when it cannot be read: then everything has changed at the next look.
fn ends(db: &Connection) -> Ends {
    let read = || -> rusqlite::Result<Ends> {
        let mut statement = db.prepare_cached("SELECT id, next_seq FROM queues")?;
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
    };
    read().unwrap_or_default()
}

fn data_version(db: &Connection) -> Option<i64> {
    db.pragma_query_value(None, "data_version", |r| r.get(0)).ok()
}
