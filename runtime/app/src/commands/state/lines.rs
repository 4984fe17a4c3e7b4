//! Keys and values, a line of JSON each.

use super::super::encoded::{TEXT, bytes};
use super::{PAGE, is_key, is_value};
use crate::commands::table;
use crate::exit::{Fail, Outcome};
use crate::input::lines::{Line, Lines};
use crate::telemetry::progress::Progress;
use pelton_core::effects::StateEntry;
use pelton_core::shown::path as shown_path;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a line, at most: of a value each of whose bytes is escaped.
const LINE_BYTES: usize = 8 << 20;
/// Bytes of keys and values that one transaction takes.
const CHUNK_BYTES: usize = 4 << 20;

/// What a line has. More than that may be a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: String,
    #[serde(default = "text")]
    key_encoding: String,
    value: String,
    #[serde(default = "text")]
    value_encoding: String,
}

fn text() -> String {
    TEXT.to_owned()
}

/// The lines of a file, and what became of them.
pub struct StateLines {
    lines: Lines<Box<dyn Read>>,
    file: PathBuf,
    line: u64,
    pub set: u64,
    pub refused: u64,
    pub bar: Progress,
}

impl StateLines {
    pub fn open(file: &Path) -> Result<Self, Fail> {
        let input: Box<dyn Read> = if file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            let failed = |error| Fail::refused(format!("{} cannot be read: {error}", shown_path(file)));
            Box::new(File::open(file).map_err(failed)?)
        };
        let bar = Progress::of("set", None);
        let lines = Lines::of(input, LINE_BYTES);
        Ok(Self { lines, file: file.to_owned(), line: 0, set: 0, refused: 0, bar })
    }

    /// Hands on what the lines say, in chunks. A line that says nothing is refused, and the others count.
    pub fn each_chunk(&mut self, mut set: impl FnMut(&[StateEntry]) -> Outcome) -> Outcome {
        let (mut chunk, mut size) = (Vec::new(), 0);
        loop {
            let next = self.lines.next();
            let is_last = !matches!(next, Ok(Some(_)));
            if chunk.len() >= PAGE || size >= CHUNK_BYTES || (is_last && !chunk.is_empty()) {
                set(&chunk)?;
                self.set += chunk.len() as u64;
                self.bar.shows(self.set);
                chunk.clear();
                size = 0;
            }
            let unread = |error| {
                let (name, line) = (shown_path(&self.file), table::number(self.line));
                Fail::refused(format!("{name} cannot be read beyond line {line}: {error}"))
            };
            let Some(line) = next.map_err(unread)? else { return Ok(()) };
            self.line += 1;
            match line {
                Line::Body(body) if body.is_empty() => {}
                Line::Body(body) => match entry(&body) {
                    Ok(entry) => {
                        size += entry.key.len() + entry.value.len();
                        chunk.push(entry);
                    }
                    Err(why) => self.refuse(&why),
                },
                Line::TooLong(size) => {
                    self.refuse(&format!("it has {size} bytes, and {LINE_BYTES} is the most"))
                }
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        note!("line {} was refused: {why}", self.line);
    }
}

fn entry(line: &[u8]) -> Result<StateEntry, String> {
    let written: Written = serde_json::from_slice(line).map_err(|error| {
        let form = "{\"key\": \"...\", \"value\": \"...\"}";
        format!("it is not {form}, as `pelton state export` writes it: {error}")
    })?;
    let key = bytes(written.key, &written.key_encoding).map_err(|why| format!("the key {why}"))?;
    let value = bytes(written.value, &written.value_encoding).map_err(|why| format!("the value {why}"))?;
    is_key(&key)?;
    is_value(&value)?;
    Ok(StateEntry { key, value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::json_of;
    use super::*;

    #[test]
    fn what_is_exported_is_imported() {
        for value in [&b"12"[..], b"", b"\xff\x00", "gr\u{fc}n\n".as_bytes()] {
            let line = json_of(b"customer-7", value).to_string();
            let read = entry(line.as_bytes()).unwrap();
            assert_eq!((&*read.key, &*read.value), (&b"customer-7"[..], value));
        }
        assert_eq!(entry(b"{\"key\":\"a\",\"value\":\"1\"}").unwrap().value, b"1");
    }

    #[test]
    fn a_line_that_says_nothing_is_refused_with_why() {
        let why = |line: &str| entry(line.as_bytes()).unwrap_err();
        assert!(why("{\"key\":\"a\"}").contains("as `pelton state export` writes it"));
        assert!(why("{\"key\":\"\",\"value\":\"1\"}").contains("0 bytes"));
        assert!(why("{\"key\":\"a\",\"value\":\"*\",\"value_encoding\":\"base64\"}").contains("no base64"));
        assert!(why("{\"key\":\"/w==\",\"key_encoding\":\"base64\",\"value\":\"\"}").contains("UTF-8"));
        assert!(why("{\"key\":\"a\",\"value\":\"1\",\"ttl\":3}").contains("ttl"));
    }
}
