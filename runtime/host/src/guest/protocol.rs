//! The bytes between the host and a worker; docs/handlers/plain-programs.md describes them.
//!
//! Pure: messages become bytes, and bytes become answers or the reason why they are none.

use crate::guest::reason::REASON_BYTES;
use crate::guest::text;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Work;

/// What the first line of a request begins with; the number is the protocol's version.
const BEGIN: &str = "pelton 1";
/// The longest line of an answer: a word and two numbers.
const LINE_BYTES: usize = 64;
/// The longest reason that is taken.
const TEXT_BYTES: usize = 64 << 10;

/// The request for these messages: a line that counts them, then their fields. The body is the last of each.
pub(crate) fn request(work: &[Work]) -> Vec<u8> {
    let weight: usize = work.iter().map(|work| work.message.weight() + 512).sum();
    let mut out = Vec::with_capacity(weight);
    out.extend_from_slice(format!("{BEGIN} {}\n", work.len()).as_bytes());
    for work in work {
        message(&mut out, work);
    }
    out
}

fn message(out: &mut Vec<u8>, work: &Work) {
    let message = &work.message;
    field(out, "id", message.id().text().as_bytes());
    field(out, "pipeline", message.pipeline().as_bytes());
    field(out, "origin", message.origin().as_bytes());
    field(out, "idempotency-key", work.idempotency_key().to_string().as_bytes());
    field(out, "attempt", work.attempt.to_string().as_bytes());
    if let Some(key) = message.key() {
        field(out, "key", key);
    }
    if let Some(ms) = message.published_at_ms() {
        field(out, "published-at-ms", ms.to_string().as_bytes());
    }
    if message.replayed() {
        field(out, "replayed", b"true");
    }
    if message.tombstone() {
        field(out, "tombstone", b"true");
    }
    for header in message.headers().iter() {
        field(out, "header-name", header.name.as_bytes());
        field(out, "header-value", header.value);
    }
    field(out, "body", message.body());
}

/// `NAME LENGTH`, a line feed, the bytes, a line feed.
fn field(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    out.extend_from_slice(format!("{name} {}\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

/// Reads the answers to one request, as they come.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    asked: usize,
    given: Vec<Outcome>,
    /// Bytes of the line or the reason that has begun.
    part: Vec<u8>,
    /// The line before the reason that is being read.
    head: Option<Head>,
}

/// The first line of an answer that has a reason.
#[derive(Debug, Clone, Copy)]
struct Head {
    reject: bool,
    length: usize,
    after_ms: Option<u64>,
}

impl Answers {
    /// A request for so many messages was sent.
    pub(crate) fn ask(&mut self, count: usize) {
        *self = Self { asked: count, given: Vec::with_capacity(count), ..Self::default() };
    }

    /// Whether every message has its answer.
    pub(crate) fn complete(&self) -> bool {
        self.asked > 0 && self.given.len() == self.asked
    }

    /// The answers, in order.
    pub(crate) fn take(&mut self) -> Vec<Outcome> {
        self.asked = 0;
        std::mem::take(&mut self.given)
    }

    /// Takes what the worker wrote. `Err` says what is wrong with it; nothing more is taken then.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.given.len() == self.asked {
                return Err(self.surplus(bytes));
            }
            bytes = match self.head {
                None => self.line(bytes)?,
                Some(head) => self.reason(head, bytes)?,
            };
        }
        Ok(())
    }

    fn surplus(&self, bytes: &[u8]) -> String {
        let wrote = shown(bytes);
        match self.asked {
            0 => format!(
                "the worker wrote {wrote} to standard output before it was given a message; only answers \
                 belong there, print to standard error"
            ),
            1 => format!(
                "the worker wrote {wrote} to standard output after its answer; it must answer once, and \
                 print to standard error"
            ),
            n => format!(
                "the worker wrote {wrote} to standard output after its {n} answers; it must answer each \
                 message once, and print to standard error"
            ),
        }
    }

    /// Takes bytes up to the end of the line; the rest.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let end = bytes.iter().position(|b| *b == b'\n');
        self.part.extend_from_slice(&bytes[..end.unwrap_or(bytes.len()).min(LINE_BYTES + 1)]);
        if self.part.len() > LINE_BYTES {
            return Err(no_answer(&self.part));
        }
        let Some(end) = end else { return Ok(&[]) };
        let line = std::mem::take(&mut self.part);
        if line == b"ok" {
            self.given.push(Outcome::Ok(None));
        } else {
            self.head = Some(head(&line)?);
        }
        Ok(&bytes[end + 1..])
    }

    /// Takes bytes up to the end of the reason and its line feed; the rest.
    fn reason<'a>(&mut self, head: Head, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let missing = head.length - self.part.len();
        let (part, rest) = bytes.split_at(missing.min(bytes.len()));
        self.part.extend_from_slice(part);
        let Some((end, rest)) = rest.split_first() else { return Ok(&[]) };
        if *end != b'\n' {
            return Err(format!(
                "the worker's answer has a reason of another length than it says: {} bytes are followed by \
                 {}, not by a line feed",
                head.length,
                shown(rest_of(*end, rest).as_slice())
            ));
        }
        let bytes = std::mem::take(&mut self.part);
        let reason = text::clean(&String::from_utf8_lossy(&bytes), REASON_BYTES);
        self.head = None;
        self.given.push(if head.reject {
            Outcome::Reject { reason }
        } else {
            Outcome::Retry { reason, after_ms: head.after_ms }
        });
        Ok(rest)
    }
}

fn rest_of(first: u8, rest: &[u8]) -> Vec<u8> {
    std::iter::once(first).chain(rest.iter().copied().take(LINE_BYTES)).collect()
}

/// `retry LENGTH`, `retry LENGTH AFTER_MS` or `reject LENGTH`.
fn head(line: &[u8]) -> Result<Head, String> {
    let text = std::str::from_utf8(line).map_err(|_| no_answer(line))?;
    let mut words = text.split(' ');
    let reject = match words.next() {
        Some("retry") => false,
        Some("reject") => true,
        _ => return Err(no_answer(line)),
    };
    let number = |word: Option<&str>| {
        word.filter(|word| word.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|word| word.parse::<u64>().ok())
    };
    let length = number(words.next()).ok_or_else(|| no_answer(line))?;
    let after = words.next();
    let after_ms = number(after);
    if words.next().is_some() || after.is_some() != after_ms.is_some() || (reject && after.is_some()) {
        return Err(no_answer(line));
    }
    match usize::try_from(length) {
        Ok(length) if length <= TEXT_BYTES => Ok(Head { reject, length, after_ms }),
        _ => Err(format!(
            "the worker's answer has a reason of {length} bytes, at most {TEXT_BYTES} are taken"
        )),
    }
}

fn no_answer(line: &[u8]) -> String {
    format!(
        "the worker wrote {} to standard output, which is no answer (`ok`, `retry LENGTH [MS]` or `reject \
         LENGTH` and the reason); print to standard error",
        shown(line)
    )
}

/// The beginning of some bytes, in backticks.
fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let mut out = String::from("`");
    text::escape_into(&mut out, &line[..line.len().min(LINE_BYTES)], false);
    if line.len() > LINE_BYTES {
        out.push_str("...");
    }
    out.push('`');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::work;
    use pelton_core::{Header, HeaderList, Message, Parts};

    /// What is read of an output that comes in pieces of this size.
    fn read(asked: usize, output: &[u8], piece: usize) -> Result<Vec<Outcome>, String> {
        let mut answers = Answers::default();
        answers.ask(asked);
        for piece in output.chunks(piece) {
            answers.write(piece)?;
        }
        if answers.complete() { Ok(answers.take()) } else { Err("incomplete".to_owned()) }
    }

    #[test]
    fn a_request_is_these_bytes() {
        let mut one = work("m");
        one.message = Message::new(Parts {
            key: Some(b""),
            headers: [Header::new("h", [0, 10])].iter().collect::<HeaderList>().view(),
            body: b"a\nb",
            ..one.message.parts()
        });
        let wanted = b"pelton 1 1\nid 1\nm\npipeline 1\np\norigin 1\nq\nidempotency-key 3\np:m\nattempt \
            1\n1\nkey 0\n\nheader-name 1\nh\nheader-value 2\n\0\n\nbody 3\na\nb\n";
        assert_eq!(request(&[one]), wanted);
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        let output = b"ok\nretry 3 250\na\nb\nretry 0\n\nreject 2\nno\n";
        let wanted = vec![
            Outcome::Ok(None),
            Outcome::Retry { reason: "a\nb".to_owned(), after_ms: Some(250) },
            Outcome::Retry { reason: String::new(), after_ms: None },
            Outcome::Reject { reason: "no".to_owned() },
        ];
        for piece in [1, 2, 3, 7, 100] {
            assert_eq!(read(4, output, piece), Ok(wanted.clone()), "{piece}");
        }
    }

    #[test]
    fn what_is_no_answer_is_shown() {
        let long = vec![b'x'; 200];
        for (output, words) in [
            (&b"hello world\n"[..], "`hello world`"),
            (b"ok\r\n", "`ok\\x0d`"),
            (b"ok 1\n", "`ok 1`"),
            (b"retry\n", "`retry`"),
            (b"retry +3\n", "`retry +3`"),
            (b"retry 3 soon\n", "`retry 3 soon`"),
            (b"reject 3 1\n", "`reject 3 1`"),
            (b"retry 99999999\n", "99999999 bytes"),
            (b"reject 1\nabc\n", "another length"),
            (b"\xff\n", "`\\xff`"),
            (&long, "xxx...`"),
        ] {
            for piece in [1, 100] {
                let said = read(1, output, piece).unwrap_err();
                assert!(said.contains(words), "{said}");
            }
        }
    }

    #[test]
    fn what_comes_at_the_wrong_time_is_no_answer() {
        assert!(read(1, b"ok\nok\n", 100).unwrap_err().contains("after its answer"));
        assert!(
            Answers::default().write(b"ready\n").unwrap_err().contains("before it was given a message")
        );
        assert_eq!(read(2, b"ok\n", 1).unwrap_err(), "incomplete");
    }
}
