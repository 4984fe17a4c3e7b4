//! Notices what other processes write: a message they send starts within a tick.

use crate::clock::WallClock;
use crate::queue::{Queue, rebase};
use crate::writer::Writer;
use rusqlite::Connection;
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
    pub fn start(db: Connection, clock: Arc<dyn WallClock>, writer: Arc<Writer>) -> std::io::Result<Self> {
        let queues: Arc<Mutex<Vec<Arc<Queue>>>> = Arc::default();
        let (stop, stopped) = channel();
        let watched = queues.clone();
        let mut wall = clock.now_ms();
        let mut version = data_version(&db);
        let look = move || {
            while matches!(stopped.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
                let (now, found) = (clock.now_ms(), data_version(&db));
                if now + JUMP_MS < wall {
                    rebase(&writer);
                }
                wall = now;
                if found != version {
                    version = found;
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
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(queue);
    }

    pub fn stop(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn data_version(db: &Connection) -> Option<i64> {
    db.pragma_query_value(None, "data_version", |r| r.get(0)).ok()
}
