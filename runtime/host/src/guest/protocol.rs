//! What a worker writes to its standard output; docs/handlers/plain-programs.md describes it.
//!
//! Pure: bytes become calls and answers, or the reason why they are none.

use crate::guest::reason::REASON_BYTES;
use crate::guest::secrets::Secrets;
use crate::guest::text;
use pelton_core::outcome::Outcome;
use std::sync::Arc;

/// The longest line of an answer: a word and two numbers.
const LINE_BYTES: usize = 64;
/// The longest reason that is taken.
const TEXT_BYTES: usize = 64 << 10;
/// The longest call that is taken: a request with six megabytes of body. Of a longer one nothing is kept.
const CALL_BYTES: usize = 8 << 20;

/// How a worker is spoken to. The second is the first, and a worker may ask for effects before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    #[default]
    One,
    Two,
}

/// Reads the answers to one request, as they come, and the calls before them.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    version: Version,
    secrets: Arc<Secrets>,
    asked: usize,
    given: Vec<Outcome>,
    /// Bytes of the line, the reason or the call that has begun.
    part: Vec<u8>,
    /// The line before the bytes that are being read.
    head: Option<Head>,
    /// Bytes that have come of those.
    taken: usize,
    /// A call that has come whole, until it is answered.
    call: Option<Call>,
}

/// What a worker asks of the host before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Such as `state.get`.
    pub(crate) name: String,
    /// What for; none where that was too long to be kept.
    pub(crate) json: Option<Vec<u8>>,
}

/// A line that says what bytes follow.
#[derive(Debug, Clone)]
struct Head {
    length: usize,
    begins: Begins,
}

#[derive(Debug, Clone)]
enum Begins {
    Retry { after_ms: Option<u64> },
    Reject,
    Call { name: String },
}

impl Answers {
    /// Of a worker that speaks this version, and may not show these.
    pub(crate) fn new(version: Version, secrets: Arc<Secrets>) -> Self {
        Self { version, secrets, ..Self::default() }
    }

    /// A request for so many messages was sent.
    pub(crate) fn ask(&mut self, count: usize) {
        let kept = Self::new(self.version, Arc::clone(&self.secrets));
        *self = Self { asked: count, given: Vec::with_capacity(count), ..kept };
    }

    /// The call that waits for its answer, if there is one: it is the caller's to answer.
    pub(crate) fn take_call(&mut self) -> Option<Call> {
        self.call.take()
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
            if let Some(call) = &self.call {
                let (wrote, name) = (self.shown(bytes), &call.name);
                return Err(format!(
                    "the worker wrote {wrote} to standard output before it had read the answer to its call \
                     `{name}`; it must read that first"
                ));
            }
            if self.given.len() == self.asked {
                return Err(self.surplus(bytes));
            }
            bytes = match self.head.take() {
                None => self.line(bytes)?,
                Some(head) => self.rest(head, bytes)?,
            };
        }
        Ok(())
    }

    fn surplus(&self, bytes: &[u8]) -> String {
        let wrote = self.shown(bytes);
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
            return Err(self.no_answer(&self.part));
        }
        let Some(end) = end else { return Ok(&[]) };
        let line = std::mem::take(&mut self.part);
        if line == b"ok" {
            self.given.push(Outcome::Ok(None));
        } else {
            self.head = Some(self.head(&line)?);
            self.taken = 0;
        }
        Ok(&bytes[end + 1..])
    }

    /// `retry LENGTH`, `retry LENGTH AFTER_MS`, `reject LENGTH` or, in version 2, `call NAME LENGTH`.
    fn head(&self, line: &[u8]) -> Result<Head, String> {
        let parsed = std::str::from_utf8(line).ok().and_then(|line| self.parse(line));
        let head = parsed.ok_or_else(|| self.no_answer(line))?;
        let length = head.length;
        match head.begins {
            Begins::Retry { .. } | Begins::Reject if length > TEXT_BYTES => Err(format!(
                "the worker's answer has a reason of {length} bytes, at most {TEXT_BYTES} are taken"
            )),
            Begins::Retry { .. } | Begins::Reject | Begins::Call { .. } => Ok(head),
        }
    }

    fn parse(&self, line: &str) -> Option<Head> {
        let number = |word: &str| {
            word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse::<u64>().ok()).flatten()
        };
        let words: Vec<&str> = line.split(' ').collect();
        let (length, begins) = match words[..] {
            ["retry", length] => (length, Begins::Retry { after_ms: None }),
            ["retry", length, ms] => (length, Begins::Retry { after_ms: Some(number(ms)?) }),
            ["reject", length] => (length, Begins::Reject),
            ["call", name, length] if self.version == Version::Two && !name.is_empty() => {
                (length, Begins::Call { name: name.to_owned() })
            }
            _ => return None,
        };
        Some(Head { length: usize::try_from(number(length)?).unwrap_or(usize::MAX), begins })
    }

    /// Takes bytes up to the end of what the line has announced, and its line feed; the rest.
    fn rest<'a>(&mut self, head: Head, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let missing = head.length - self.taken;
        let (part, rest) = bytes.split_at(missing.min(bytes.len()));
        self.taken += part.len();
        let is_kept = head.length <= CALL_BYTES;
        if is_kept {
            self.part.extend_from_slice(part);
        }
        let Some((end, rest)) = rest.split_first() else {
            self.head = Some(head);
            return Ok(&[]);
        };
        if *end != b'\n' {
            let what = match head.begins {
                Begins::Retry { .. } | Begins::Reject => "answer has a reason",
                Begins::Call { .. } => "call has a text",
            };
            return Err(format!(
                "the worker's {what} of another length than it says: {} bytes are followed by {}, not by a \
                 line feed",
                head.length,
                self.shown(rest_of(*end, rest).as_slice())
            ));
        }
        let part = std::mem::take(&mut self.part);
        let reason = |part: &[u8]| self.secrets.clean(&String::from_utf8_lossy(part), REASON_BYTES);
        match head.begins {
            Begins::Retry { after_ms } => {
                let reason = reason(&part);
                self.given.push(Outcome::Retry { reason, after_ms });
            }
            Begins::Reject => {
                let reason = reason(&part);
                self.given.push(Outcome::Reject { reason });
            }
            Begins::Call { name } => self.call = Some(Call { name, json: is_kept.then_some(part) }),
        }
        Ok(rest)
    }

    fn no_answer(&self, line: &[u8]) -> String {
        let or_calls = match self.version {
            Version::One => "",
            Version::Two => ", or `call NAME LENGTH` and its text before it",
        };
        format!(
            "the worker wrote {} to standard output, which is no answer (`ok`, `retry LENGTH [MS]` or \
             `reject LENGTH` and the reason{or_calls}); print to standard error",
            self.shown(line)
        )
    }

    /// The beginning of some bytes, in backticks.
    fn shown(&self, bytes: &[u8]) -> String {
        let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = self.secrets.hide_cut(line);
        let mut out = String::from("`");
        text::escape_into(&mut out, &line[..line.len().min(LINE_BYTES)], false);
        if line.len() > LINE_BYTES {
            out.push_str("...");
        }
        out.push('`');
        out
    }
}

fn rest_of(first: u8, rest: &[u8]) -> Vec<u8> {
    std::iter::once(first).chain(rest.iter().copied().take(LINE_BYTES)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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

    /// What comes of an output of version 2 that comes in pieces of this size: the calls, and the answers.
    fn calls(output: &[u8], piece: usize) -> Result<(Vec<Call>, Vec<Outcome>), String> {
        let mut answers = Answers::new(Version::Two, Arc::default());
        answers.ask(1);
        let mut calls = Vec::new();
        for piece in output.chunks(piece) {
            for byte in piece.chunks(1) {
                answers.write(byte)?;
                calls.extend(answers.take_call());
            }
        }
        Ok((calls, if answers.complete() { answers.take() } else { Vec::new() }))
    }

    #[test]
    fn calls_come_before_the_answer() {
        let output = b"call state.get 3\n{\n}\ncall x 0\n\nok\n";
        let call = |name: &str, json: &[u8]| Call { name: name.to_owned(), json: Some(json.to_vec()) };
        for piece in [1, 3, 100] {
            let wanted = (vec![call("state.get", b"{\n}"), call("x", b"")], vec![Outcome::Ok(None)]);
            assert_eq!(calls(output, piece), Ok(wanted), "{piece}");
        }
        let long = CALL_BYTES + 1;
        let output =
            [format!("call x {long}\n").into_bytes(), vec![b'x'; long], b"\nok\n".to_vec()].concat();
        let mut answers = Answers::new(Version::Two, Arc::default());
        answers.ask(1);
        let (call, answer) = output.split_at(output.len() - 3);
        answers.write(call).unwrap();
        assert!(answers.part.capacity() < 1 << 20, "nothing of it is kept");
        assert_eq!(answers.take_call(), Some(Call { name: "x".to_owned(), json: None }));
        answers.write(answer).unwrap();
        assert!(answers.complete());
    }

    #[test]
    fn what_is_no_call_is_shown() {
        for (output, words) in [
            (&b"call x\n"[..], "`call x`, to"),
            (b"call x y\n", "no answer (`ok`"),
            (b"call  3\n", "no answer"),
            (b"call x 1 2\n", "no answer"),
            (b"call x 1\nabc\n", "the worker's call has a text of another length"),
            (b"call x 99999999999999999999\n", "no answer"),
            (b"ok\ncall x 0\n\n", "after its answer"),
        ] {
            let said = calls(output, 1).unwrap_err();
            assert!(said.contains(words.trim_end_matches(", to")), "{said}");
        }
        assert!(read(1, b"call x 0\n\n", 100).unwrap_err().contains("no answer"), "version 1 has none");
        let mut answers = Answers::new(Version::Two, Arc::default());
        answers.ask(1);
        let said = answers.write(b"call x 0\n\nok\n").unwrap_err();
        assert!(said.contains("before it had read the answer to its call `x`"), "{said}");
    }

    #[test]
    fn secrets_are_in_no_error() {
        let secrets = Secrets::new(&["hunter22-hunter22".to_owned()]);
        let mut answers = Answers::new(Version::One, Arc::new(secrets));
        answers.ask(1);
        let said = answers.write(b"key is hunter22-hunter22\n").unwrap_err();
        assert!(said.contains("`key is [secret]`"), "{said}");
        let long = [&[b'x'; 59][..], b"hunter22-hunter22"].concat();
        answers.ask(1);
        let said = answers.write(&long).unwrap_err();
        assert!(!said.contains("hunt"), "{said}");
        answers.ask(1);
        answers.write(b"reject 17\nhunter22-hunter22\n").unwrap();
        assert_eq!(answers.take(), [Outcome::Reject { reason: "[secret]".to_owned() }]);
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
