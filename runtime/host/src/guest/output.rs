//! What guests print, as log lines: split, escaped, bounded per message and per pipeline.

use crate::guest::pipeline_log::{PipelineLog, lock};
use crate::guest::reason::REASON_BYTES;
use crate::guest::secrets::Secrets;
use crate::guest::sink::{LogLevel, LogLine};
use crate::guest::structured::{self, Structured};
use crate::guest::text;
use crate::interfaces::call::CallInWork;
use pelton_core::last_words::last_words;
use pelton_core::ports::Work;
use pelton_core::trace::{self, SpanContext};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Bytes of one line; longer ones are continued on further lines.
const LINE_BYTES: usize = 4096;
/// What a line counts for at least, since each becomes a whole log record.
const LINE_COST: usize = 32;
/// Bytes of standard error that are kept of a message, for the reason of its failure.
const TAIL_BYTES: usize = 3 << 10;
/// Bytes of its last words, where they stand in a sentence.
const WORDS_BYTES: usize = 512;

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
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

/// A line on its way out.
struct Line<'l> {
    stream: &'static str,
    bytes: &'l [u8],
    fields: Option<&'l str>,
    /// Bytes that the guest wrote.
    printed: usize,
}

struct Inner {
    work: Option<Arc<[Work]>>,
    spent: usize,
    dropped: u64,
    lines: [Vec<u8>; 2],
    /// The end of standard error since the message began; up to twice as long as is used.
    tail: Vec<u8>,
    /// Something before it is lost, so that it may begin in the middle of a secret.
    tail_is_cut: bool,
    /// Reused for escaping.
    scratch: String,
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
                tail_is_cut: false,
                scratch: String::new(),
            }),
        })
    }

    /// What the guest wrote last to standard error, whole lines where they fit; safe to print.
    pub(crate) fn tail(&self) -> String {
        let inner = lock(&self.inner);
        let tail = self.log.secrets.hide(&inner.tail);
        let lost = if inner.tail_is_cut { self.log.secrets.longest().saturating_sub(1) } else { 0 };
        let tail = tail.get(lost..).unwrap_or_default().trim_ascii_end();
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

    /// A reason that the guest gives, safe to print.
    pub(crate) fn reason(&self, text: &str) -> String {
        self.log.secrets.clean(text, REASON_BYTES)
    }

    /// What must not be shown of what the guest writes.
    pub(crate) fn secrets(&self) -> &Arc<Secrets> {
        &self.log.secrets
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
            self.flush(inner, stream, 0);
        }
        inner.spent = 0;
        inner.tail.clear();
        inner.tail_is_cut = false;
        let dropped = std::mem::take(&mut inner.dropped);
        self.log.settle(&self.subject(inner), dropped);
    }

    /// Takes bytes of a standard stream.
    pub(crate) fn write(&self, stream: Stream, mut bytes: &[u8]) {
        self.used.store(true, Relaxed);
        let inner = &mut *lock(&self.inner);
        if stream == Stream::Err {
            inner.tail_is_cut |= keep_tail(&mut inner.tail, bytes);
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
            // A line that is cut goes on with the secret that has begun at its end.
            let begun = if ended && newline == 0 {
                self.log.secrets.begun(&inner.lines[stream as usize])
            } else {
                0
            };
            if ended && !self.flush(inner, stream, begun) {
                inner.dropped += bytes.len() as u64;
                return;
            }
        }
    }

    /// Takes one record of `wasi:logging`.
    pub(crate) fn log(&self, level: LogLevel, context: &str, message: &str) {
        self.used.store(true, Relaxed);
        let inner = &mut *lock(&self.inner);
        let secrets = &self.log.secrets;
        let head = if context.is_empty() { String::new() } else { secrets.clean(context, 64) + ": " };
        let mut rest = message;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            let line = line.strip_suffix('\r').unwrap_or(line);
            let line: Cow<'_, str> =
                if head.is_empty() { Cow::Borrowed(line) } else { format!("{head}{line}").into() };
            // What comes after a line for which there is no room is not even looked at.
            let line = secrets.hide(line.as_bytes());
            let mut pieces = line.chunks(LINE_BYTES);
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

    /// Prints the line but for its last bytes, which begin the next one. False when there is no room for it.
    fn flush(&self, inner: &mut Inner, stream: Stream, keep: usize) -> bool {
        let mut line = std::mem::take(&mut inner.lines[stream as usize]);
        let end = line.len() - keep;
        let text = self.log.secrets.hide(&line[..end]);
        let text = text.strip_suffix(b"\r").unwrap_or(&text);
        let name = if stream == Stream::Out { "stdout" } else { "stderr" };
        let taken = text.is_empty() || self.emit_printed(inner, name, text);
        line.drain(..end);
        inner.lines[stream as usize] = line;
        taken
    }

    /// A line as it was printed: what loggers write has its level, and fields.
    fn emit_printed(&self, inner: &mut Inner, stream: &'static str, bytes: &[u8]) -> bool {
        match structured::parse(bytes) {
            None => self.emit(inner, LogLevel::Info, stream, bytes),
            Some(Structured { level, message, fields }) => {
                // Its escapes are undone now: what they kept from being found is looked for once more.
                let secrets = &self.log.secrets;
                let message = secrets.hide(message.as_bytes());
                let fields = fields.as_deref().map(|fields| secrets.hide(fields.as_bytes()));
                let fields = fields.as_deref().and_then(|fields| std::str::from_utf8(fields).ok());
                self.emit_line(inner, level, Line { stream, bytes: &message, fields, printed: bytes.len() })
            }
        }
    }

    /// False when there is no room for it, of the message or of the pipeline.
    fn emit(&self, inner: &mut Inner, level: LogLevel, stream: &'static str, bytes: &[u8]) -> bool {
        self.emit_line(inner, level, Line { stream, bytes, fields: None, printed: bytes.len() })
    }

    fn emit_line(&self, inner: &mut Inner, level: LogLevel, line: Line<'_>) -> bool {
        let Line { stream, bytes, fields, printed } = line;
        let cost = (printed + 1).max(LINE_COST);
        if inner.spent.saturating_add(cost) > self.quota() {
            inner.dropped += printed as u64 + 1;
            return false;
        }
        inner.spent += cost;
        if !self.log.admit(cost, printed + 1) {
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
            fields,
            trace: self.trace(inner),
        });
        inner.scratch = text;
        true
    }

    /// Bytes that the call may print.
    fn quota(&self) -> usize {
        self.log.per_message.saturating_mul(self.count.load(Relaxed))
    }

    /// Where the message stands in a trace that is recorded.
    fn trace(&self, inner: &Inner) -> Option<SpanContext> {
        let work = inner.work.as_ref()?.get(self.first.load(Relaxed))?;
        trace::of_headers(work.message.headers()).filter(|context| context.sampled)
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

/// Appends, and forgets the beginning once there is twice what is used. Whether something is lost now.
fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let unseen = bytes.len().saturating_sub(TAIL_BYTES);
    let bytes = &bytes[unseen..];
    if unseen > 0 {
        tail.clear();
    }
    let surplus = if tail.len() + bytes.len() > 2 * TAIL_BYTES {
        tail.len().saturating_sub(TAIL_BYTES.saturating_sub(bytes.len()))
    } else {
        0
    };
    tail.drain(..surplus);
    tail.extend_from_slice(bytes);
    unseen > 0 || surplus > 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::guest::sink::LogSink;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogSink for Kept {
        fn line(&self, line: &LogLine<'_>) {
            self.0.lock().unwrap().push(line.text.to_owned());
        }
    }

    /// What is printed of an output that comes in pieces of this size, and its last words.
    fn printed(bytes: &[u8], piece: usize) -> (String, String) {
        const PLENTY: usize = 1 << 20;
        let kept = Arc::new(Kept::default());
        let secrets = Arc::new(Secrets::new(&["hunter22-hunter22".to_owned()]));
        let log = PipelineLog::new("p", Arc::clone(&kept) as Arc<dyn LogSink>, secrets, PLENTY, PLENTY);
        let output = Output::new(&log);
        bytes.chunks(piece).for_each(|piece| output.write(Stream::Err, piece));
        let tail = output.tail();
        output.end();
        let lines = kept.0.lock().unwrap().concat();
        (lines, tail)
    }

    #[test]
    fn a_line_that_is_json_has_its_level_and_fields_and_the_trace_of_its_message() {
        use pelton_core::{Header, HeaderList, Message, Parts};
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        #[derive(Default)]
        struct Told(Mutex<Vec<String>>);
        impl LogSink for Told {
            fn line(&self, line: &LogLine<'_>) {
                let trace = line.trace.map(|trace| trace.to_string());
                let told = format!("{:?} {} {:?} {trace:?}", line.level, line.text, line.fields);
                self.0.lock().unwrap().push(told);
            }
        }
        let told = Arc::new(Told::default());
        let secrets = Arc::new(Secrets::new(&["hunter22-hunter22".to_owned()]));
        let log = PipelineLog::new("p", Arc::clone(&told) as Arc<dyn LogSink>, secrets, 1 << 20, 1 << 20);
        let output = Output::new(&log);
        let headers: HeaderList = [Header::new("traceparent", PARENT)].iter().collect();
        let message = Message::new(Parts { headers: headers.view(), ..Parts::named("m") });
        output.assign([Work { message, ..crate::testing::work("m") }].into());
        output
            .write(Stream::Out, b"{\"level\":\"warn\",\"msg\":\"low \\u0068unter22-hunter22\",\"n\":2}\n");
        output.write(Stream::Err, b"{\"n\":2}\n");
        let lines = told.0.lock().unwrap().clone();
        let (fields, trace) = ("Some(\"{\\\"n\\\":2}\")", format!("Some({PARENT:?})"));
        assert_eq!(lines[0], format!("Warn low [secret] {fields} {trace}"));
        assert_eq!(lines[1], format!("Info {{\"n\":2}} None {trace}"));
    }

    #[test]
    fn a_secret_is_hidden_where_a_line_or_the_tail_is_cut() {
        for before in 4_070..4_100 {
            let line = [vec![b'x'; before], b"hunter22-hunter22\n".to_vec()].concat();
            let (lines, tail) = printed(&line, 7);
            assert_eq!(lines, format!("{}[secret]", "x".repeat(before)));
            assert!(tail.ends_with("x[secret]"), "{tail}");
        }
        for after in 3_000..3_100 {
            for piece in [11, 10_000] {
                let text = [b"hunter22-hunter22".to_vec(), vec![b'y'; after]].concat();
                let (_, tail) = printed(&[text.as_slice(), &vec![b'z'; 3_100]].concat(), piece);
                assert!(!tail.contains("22") && tail.ends_with('z'), "{after}, {piece}: {tail}");
            }
        }
    }
}
