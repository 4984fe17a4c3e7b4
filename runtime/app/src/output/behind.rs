//! Standard error, written by a thread of its own: nobody who has something to say waits for who reads it.
//!
//! What is not read fills a buffer with a bound. Then lines are dropped and counted, and that is said as
//! soon as somebody reads again. On a terminal there may be one line that is redrawn, below all others.

use rustix::io::Errno;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait for a reader at most.
const ROOM: usize = 1 << 20;
/// What guests print has no more, so that the worker's own words have a place behind a guest that floods.
const ROOM_OF_GUESTS: usize = ROOM / 4 * 3;
/// To the begin of a line that is empty then.
const CLEAR: &[u8] = b"\r\x1b[2K";

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// The program's.
    Own,
    /// A handler's.
    Guest,
}

/// What standard error was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// What a command has to say.
    Words,
    /// A log, which nobody waits for.
    Log,
}

/// Where lines wait.
#[derive(Clone)]
pub struct Behind(Arc<BufferState>);

#[derive(Default)]
struct BufferState {
    waiting: Mutex<Waiting>,
    /// Something has come.
    come: Condvar,
    /// Something was written, or cannot be.
    gone: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Lines that were dropped, and not said to be so.
    dropped: u64,
    /// The line that is redrawn; empty when there is none.
    live: Vec<u8>,
    redraw: bool,
    /// The thread has taken what it writes now.
    writing: bool,
    /// How often it has come back from writing.
    turns: u64,
    /// A line is dropped rather than waited for. A command, which nobody waits for, rather waits.
    is_log: bool,
    /// The process ends.
    ends: bool,
}

impl Behind {
    /// Starts the thread. It ends with the process.
    pub fn start(write: impl Fn(&[u8]) -> Result<(), Errno> + Send + 'static) -> Self {
        let shared = Arc::new(BufferState::default());
        let writer = shared.clone();
        let thread = std::thread::Builder::new().name("pelton-log".to_owned());
        // Without threads nothing runs, which is said by who needs the next one.
        drop(thread.spawn(move || writer.work(&write)));
        Self(shared)
    }

    /// From now on a line is dropped rather than waited for.
    pub fn never_wait(&self) {
        self.0.lock().is_log = true;
    }

    /// Takes whole lines.
    pub fn take(&self, lines: &[u8], rank: Rank) {
        let room = match rank {
            Rank::Own => ROOM,
            Rank::Guest => ROOM_OF_GUESTS,
        };
        let has_room =
            |waiting: &Waiting| waiting.text.is_empty() || waiting.text.len() + lines.len() <= room;
        let mut waiting = self.0.lock();
        while !(waiting.is_log || waiting.ends || has_room(&waiting)) {
            waiting = self.0.gone.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if has_room(&waiting) {
            waiting.text.extend_from_slice(lines);
            self.0.come.notify_one();
        } else {
            waiting.dropped += count(lines);
        }
    }

    /// Draws the line that stands below all others anew; no line, when it is empty.
    pub fn draw(&self, line: &str) {
        let mut waiting = self.0.lock();
        if waiting.live != line.as_bytes() {
            waiting.live = line.as_bytes().to_vec();
            waiting.redraw = true;
            self.0.come.notify_one();
        }
    }

    /// Waits until all is written, or until nothing could be for so long.
    pub fn finish(&self, patience: Duration) -> Left {
        let mut waiting = self.0.lock();
        waiting.ends = true;
        if !waiting.live.is_empty() {
            waiting.live.clear();
            waiting.redraw = true;
            self.0.come.notify_one();
        }
        while waiting.has_work() || waiting.writing {
            let turns = waiting.turns;
            let (next, timed) =
                self.0.gone.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner);
            waiting = next;
            if timed.timed_out() && waiting.turns == turns {
                break;
            }
        }
        if waiting.is_log { Left::Log } else { Left::Words }
    }
}

impl Waiting {
    fn has_work(&self) -> bool {
        !self.text.is_empty() || self.redraw
    }
}

impl BufferState {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, write: &dyn Fn(&[u8]) -> Result<(), Errno>) {
        let (mut drawn, mut torn) = (false, false);
        loop {
            let (text, live) = self.next();
            let mut bytes = Vec::with_capacity(text.len() + live.len() + CLEAR.len());
            // What could not be written may have ended within a line.
            bytes.extend_from_slice(if torn { b"\n" } else { b"" });
            bytes.extend_from_slice(if drawn { CLEAR } else { b"" });
            bytes.extend_from_slice(&text);
            bytes.extend_from_slice(&live);
            drawn = !live.is_empty();
            torn = write(&bytes).is_err();
            self.wrote(if torn { count(&text) } else { 0 }, torn);
        }
    }

    /// Waits for something to write.
    fn next(&self) -> (Vec<u8>, Vec<u8>) {
        let waiting = self.come.wait_while(self.lock(), |waiting| !waiting.has_work());
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.redraw = false;
        waiting.writing = true;
        (std::mem::take(&mut waiting.text), waiting.live.clone())
    }

    /// Counts what is lost, or says what was: a line goes through again.
    fn wrote(&self, lost: u64, torn: bool) {
        let mut waiting = self.lock();
        waiting.writing = false;
        waiting.turns += 1;
        waiting.dropped += lost;
        let dropped = if torn { 0 } else { std::mem::take(&mut waiting.dropped) };
        drop(waiting);
        self.gone.notify_all();
        if dropped > 0 {
            tracing::warn!(
                lines = dropped,
                "lines of this log are missing here: standard error was not read, or could not be written"
            );
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// A stream whose every write waits until the test has taken what it writes.
    fn stream() -> (Behind, Receiver<Vec<u8>>) {
        let (tell, written): (SyncSender<Vec<u8>>, _) = sync_channel(0);
        let behind = Behind::start(move |bytes| tell.send(bytes.to_vec()).map_err(|_| Errno::PIPE));
        (behind, written)
    }

    #[test]
    fn who_never_waits_drops_what_has_no_room_and_guests_first() {
        let (behind, written) = stream();
        behind.never_wait();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        behind.take(&line, Rank::Guest);
        while !behind.0.lock().writing {
            std::thread::yield_now();
        }
        for _ in 0..2 * ROOM / line.len() {
            behind.take(&line, Rank::Guest);
        }
        behind.take(b"own\n", Rank::Own);
        let mut all = Vec::new();
        while !all.ends_with(b"own\n") {
            all.extend(written.recv().expect("it is written"));
        }
        // The line that was being written, those that had room, and ours.
        assert_eq!(all.len(), line.len() + ROOM_OF_GUESTS + 4);
        behind.finish(Duration::from_secs(10));
        let dropped = behind.0.lock().dropped;
        assert_eq!(dropped, 0, "it was said");
    }

    #[test]
    fn the_end_waits_no_longer_than_a_moment_for_who_does_not_read() {
        let (behind, _written) = stream();
        behind.take(b"a\n", Rank::Own);
        behind.finish(Duration::from_millis(10));
    }

    #[test]
    fn a_line_that_is_redrawn_stays_below_the_others() {
        let (behind, written) = stream();
        behind.draw("one");
        assert_eq!(written.recv().expect("drawn"), b"one");
        behind.take(b"log\n", Rank::Own);
        assert_eq!(written.recv().expect("written"), b"\r\x1b[2Klog\none");
        behind.draw("");
        assert_eq!(written.recv().expect("cleared"), b"\r\x1b[2K");
    }

    #[test]
    fn what_could_not_be_written_is_counted_and_the_next_line_begins_anew() {
        let (tell, written) = sync_channel(0);
        let behind = Behind::start({
            let failed = std::sync::atomic::AtomicBool::new(false);
            move |bytes| {
                if !failed.swap(true, std::sync::atomic::Ordering::SeqCst) {
                    return Err(Errno::NOSPC);
                }
                tell.send(bytes.to_vec()).map_err(|_| Errno::PIPE)
            }
        });
        behind.take(b"lost\nlost\n", Rank::Own);
        behind.finish(Duration::from_secs(10));
        assert_eq!(behind.0.lock().dropped, 2);
        behind.take(b"kept\n", Rank::Own);
        assert_eq!(written.recv().expect("written"), b"\nkept\n");
    }
}
