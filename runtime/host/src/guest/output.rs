//! What guests print, as log lines: split, escaped, bounded per message and per pipeline.

use crate::guest::sink::{LogLevel, LogLine, LogSink};
use crate::guest::text;
use crate::interfaces::call::CallInWork;
use pelton_core::last_words::last_words;
use pelton_core::ports::Work;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of one line; longer ones are continued on further lines.
const LINE_BYTES: usize = 4096;
/// What a line counts for at least, since each becomes a whole log record.
const LINE_COST: usize = 32;
/// Bytes of standard error that are kept of a message, for the reason of its failure.
const TAIL_BYTES: usize = 3 << 10;
/// Bytes of its last words, where they stand in a sentence.
const WORDS_BYTES: usize = 512;
/// What was dropped is said at most this often for each pipeline.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// The output of one pipeline: its rate, and what was dropped.
pub(crate) struct PipelineLog {
    pipeline: Arc<str>,
    sink: Arc<dyn LogSink>,
    per_message: usize,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    per_second: usize,
    tokens: usize,
    filled: Instant,
    dropped: u64,
    dropped_in_all: u64,
    said: Option<Instant>,
}

/// The output of one instance.
pub(crate) struct Output {
    log: Arc<PipelineLog>,
    /// Set by the first write of a message, so that quiet messages cost no lock.
    used: AtomicBool,
    /// The message being handled: its place in the chunk, and how many share the call.
    first: AtomicUsize,
    count: AtomicUsize,
    inner: Mutex<Inner>,
}

struct Inner {
    work: Option<Arc<[Work]>>,
    spent: usize,
    dropped: u64,
    lines: [Vec<u8>; 2],
    /// The end of standard error since the message began; up to twice as long as is used.
    tail: Vec<u8>,
    /// Reused for escaping.
    scratch: String,
}

impl PipelineLog {
    pub(crate) fn new(
        pipeline: &str,
        sink: Arc<dyn LogSink>,
        per_message: usize,
        per_second: usize,
    ) -> Arc<Self> {
        let bucket = Bucket {
            per_second,
            tokens: per_second,
            filled: Instant::now(),
            dropped: 0,
            dropped_in_all: 0,
            said: None,
        };
        Arc::new(Self { pipeline: pipeline.into(), sink, per_message, bucket: Mutex::new(bucket) })
    }

    /// Whether `cost` bytes fit the rate now; counts `bytes` as dropped if not.
    fn admit(&self, cost: usize, bytes: usize) -> bool {
        let mut bucket = lock(&self.bucket);
        bucket.refill(Instant::now());
        if bucket.tokens < cost {
            bucket.dropped += bytes as u64;
            return false;
        }
        bucket.tokens -= cost;
        true
    }

    /// Bytes dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        let bucket = lock(&self.bucket);
        bucket.dropped_in_all + bucket.dropped
    }

    /// Adds to what was dropped, and says it if that was not done within the last second.
    fn settle(&self, message_id: &str, dropped: u64) {
        let now = Instant::now();
        let total = {
            let mut bucket = lock(&self.bucket);
            bucket.dropped += dropped;
            let due = bucket.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
            if bucket.dropped == 0 || !due {
                return;
            }
            bucket.said = Some(now);
            bucket.take_dropped()
        };
        self.say_dropped(message_id, total);
    }

    fn say_dropped(&self, message_id: &str, total: u64) {
        let text = format!(
            "{total} bytes of output dropped: a message may write {} bytes, and the pipeline a bounded \
             number per second",
            self.per_message
        );
        self.sink.line(&LogLine {
            pipeline: &self.pipeline,
            message_id,
            level: LogLevel::Warn,
            stream: "host",
            text: &text,
        });
    }
}

impl Drop for PipelineLog {
    fn drop(&mut self) {
        let rest = lock(&self.bucket).take_dropped();
        if rest > 0 {
            self.say_dropped("", rest);
        }
    }
}

impl Bucket {
    fn take_dropped(&mut self) -> u64 {
        self.dropped_in_all += self.dropped;
        std::mem::take(&mut self.dropped)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.duration_since(self.filled).as_micros();
        let more = passed.saturating_mul(self.per_second as u128) / 1_000_000;
        if more > 0 {
            let more = usize::try_from(more).unwrap_or(usize::MAX);
            self.tokens = self.tokens.saturating_add(more).min(self.per_second);
            self.filled = now;
        }
    }
}

impl Output {
    pub(crate) fn new(log: &Arc<PipelineLog>) -> Arc<Self> {
        Arc::new(Self {
            log: Arc::clone(log),
            used: AtomicBool::new(false),
            first: AtomicUsize::new(0),
            count: AtomicUsize::new(1),
            inner: Mutex::new(Inner {
                work: None,
                spent: 0,
                dropped: 0,
                lines: [Vec::new(), Vec::new()],
                tail: Vec::new(),
                scratch: String::new(),
            }),
        })
    }

    /// What the guest wrote last to standard error, whole lines where they fit; safe to print.
    pub(crate) fn tail(&self) -> String {
        let tail = &lock(&self.inner).tail;
        let from = tail.len().saturating_sub(TAIL_BYTES);
        let from = match tail[from..].iter().position(|b| *b == b'\n') {
            Some(newline) if from > 0 => from + newline + 1,
            _ => from,
        };
        let mut text = String::new();
        text::escape_into(&mut text, tail[from..].trim_ascii(), true);
        text
    }

    /// The words of it that say why it gave up, of at most half a kilobyte.
    pub(crate) fn last_words(&self) -> String {
        let mut words = last_words(&self.tail());
        words.truncate(words.floor_char_boundary(WORDS_BYTES));
        words
    }

    /// A chunk begins.
    pub(crate) fn assign(&self, work: Arc<[Work]>) {
        lock(&self.inner).work = Some(work);
    }

    /// The chunk has ended.
    pub(crate) fn release(&self) {
        lock(&self.inner).work = None;
    }

    /// The messages of the running call; none between chunks.
    pub(crate) fn call(&self) -> Option<CallInWork> {
        let chunk = lock(&self.inner).work.clone()?;
        let first = self.first.load(Relaxed);
        Some(CallInWork::new(chunk, first..first + self.count.load(Relaxed)))
    }

    /// A call begins, with `count` messages from place `first` on.
    pub(crate) fn begin(&self, first: usize, count: usize) {
        self.first.store(first, Relaxed);
        self.count.store(count, Relaxed);
    }

    /// A call has ended, however: unfinished lines are flushed and the quota is new.
    pub(crate) fn end(&self) {
        if !self.used.swap(false, Relaxed) {
            return;
        }
        let inner = &mut *lock(&self.inner);
        for stream in [Stream::Out, Stream::Err] {
            self.flush(inner, stream);
        }
        inner.spent = 0;
        inner.tail.clear();
        let dropped = std::mem::take(&mut inner.dropped);
        self.log.settle(&self.subject(inner), dropped);
    }

    /// Takes bytes of a standard stream.
    pub(crate) fn write(&self, stream: Stream, mut bytes: &[u8]) {
        self.used.store(true, Relaxed);
        let inner = &mut *lock(&self.inner);
        if stream == Stream::Err {
            keep_tail(&mut inner.tail, bytes);
        }
        if self.is_full(inner) {
            // A flood is not even looked at.
            inner.dropped += bytes.len() as u64;
            return;
        }
        while !bytes.is_empty() {
            if inner.lines[stream as usize].is_empty() {
                // Empty lines say nothing.
                let text = bytes.iter().position(|b| *b != b'\n').unwrap_or(bytes.len());
                bytes = &bytes[text..];
            }
            let room = LINE_BYTES - inner.lines[stream as usize].len();
            let part = &bytes[..bytes.len().min(room)];
            let (taken, ended) = match part.iter().position(|b| *b == b'\n') {
                Some(at) => (at, true),
                None => (part.len(), part.len() == room),
            };
            inner.lines[stream as usize].extend_from_slice(&part[..taken]);
            let newline = usize::from(taken < part.len());
            bytes = &bytes[taken + newline..];
            if ended && !self.flush(inner, stream) {
                inner.dropped += bytes.len() as u64;
                return;
            }
        }
    }

    /// Takes one record of `wasi:logging`.
    pub(crate) fn log(&self, level: LogLevel, context: &str, message: &str) {
        self.used.store(true, Relaxed);
        let inner = &mut *lock(&self.inner);
        let head = if context.is_empty() { String::new() } else { text::clean(context, 64) + ": " };
        let mut rest = message;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            let line = line.strip_suffix('\r').unwrap_or(line);
            let line: Cow<'_, str> =
                if head.is_empty() { Cow::Borrowed(line) } else { format!("{head}{line}").into() };
            // What comes after a line for which there is no room is not even looked at.
            let mut pieces = line.as_bytes().chunks(LINE_BYTES);
            if !pieces.all(|piece| self.emit(inner, level, "log", piece)) {
                let unseen: usize = pieces.map(<[u8]>::len).sum();
                inner.dropped += (unseen + rest.len()) as u64;
                return;
            }
        }
    }

    /// Whether there is no room for another line of this message.
    fn is_full(&self, inner: &Inner) -> bool {
        inner.spent.saturating_add(LINE_COST) > self.quota()
    }

    /// False when there is no room for the line.
    fn flush(&self, inner: &mut Inner, stream: Stream) -> bool {
        let mut line = std::mem::take(&mut inner.lines[stream as usize]);
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        let name = if stream == Stream::Out { "stdout" } else { "stderr" };
        let taken = text.is_empty() || self.emit(inner, LogLevel::Info, name, text);
        line.clear();
        inner.lines[stream as usize] = line;
        taken
    }

    /// False when there is no room for it, of the message or of the pipeline.
    fn emit(&self, inner: &mut Inner, level: LogLevel, stream: &'static str, bytes: &[u8]) -> bool {
        let cost = (bytes.len() + 1).max(LINE_COST);
        if inner.spent.saturating_add(cost) > self.quota() {
            inner.dropped += bytes.len() as u64 + 1;
            return false;
        }
        inner.spent += cost;
        if !self.log.admit(cost, bytes.len() + 1) {
            return false;
        }
        let mut text = std::mem::take(&mut inner.scratch);
        text.clear();
        text::escape_into(&mut text, bytes, false);
        self.log.sink.line(&LogLine {
            pipeline: &self.log.pipeline,
            message_id: &self.subject(inner),
            level,
            stream,
            text: &text,
        });
        inner.scratch = text;
        true
    }

    /// Bytes that the call may print.
    fn quota(&self) -> usize {
        self.log.per_message.saturating_mul(self.count.load(Relaxed))
    }

    /// The id of the message, or of the first one of a batch.
    fn subject<'a>(&self, inner: &'a Inner) -> Cow<'a, str> {
        let first = self.first.load(Relaxed);
        let id = inner.work.as_ref().and_then(|work| work.get(first)).map(|work| work.message.id().text());
        let id = id.unwrap_or_default();
        match self.count.load(Relaxed) {
            0 | 1 => id,
            n => format!("{id} and {} more", n - 1).into(),
        }
    }
}

/// Appends, and forgets the beginning once there is twice what is used.
fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
    if tail.len() + bytes.len() > 2 * TAIL_BYTES {
        let surplus = tail.len().saturating_sub(TAIL_BYTES.saturating_sub(bytes.len()));
        tail.drain(..surplus);
    }
    tail.extend_from_slice(bytes);
}

/// A panic while a lock was held leaves bytes behind, never a broken structure.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
