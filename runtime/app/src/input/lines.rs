//! Lines of an input, for a message each.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read};

/// What a text in UTF-8 may begin with.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// What one in UTF-16 does, with either end first.
const MARKS_OF_UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A line without its end (LF or CRLF): its bytes, or how long it was when it was too long to be kept.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Body(Vec<u8>),
    TooLong(usize),
}

/// Reads line by line, and never holds more than one of them.
pub struct Lines<R> {
    input: BufReader<R>,
    max: usize,
    begun: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `max` bytes.
    pub fn of(input: R, max: usize) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, input), max, begun: false }
    }

    /// The next one; none at the end. What the text begins with to say its encoding is no part of it.
    ///
    /// # Errors
    /// The input's; or it is UTF-16, whose lines are others.
    pub fn next(&mut self) -> std::io::Result<Option<Line>> {
        let at_begin = !std::mem::replace(&mut self.begun, true);
        // What is beyond the limit by its end and its mark alone is kept.
        let Some((mut body, size)) = self.line(self.max + MARK.len() + 1)? else { return Ok(None) };
        let mut left_out = 0;
        if at_begin {
            if MARKS_OF_UTF_16.iter().any(|mark| body.starts_with(mark)) {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "the text is in UTF-16: convert it to UTF-8",
                ));
            }
            if body.starts_with(MARK) {
                body.drain(..MARK.len());
                left_out += MARK.len();
            }
        }
        if body.last() == Some(&b'\r') {
            body.pop();
            left_out += 1;
        }
        let size = size - left_out;
        Ok(Some(if size <= self.max { Line::Body(body) } else { Line::TooLong(size) }))
    }

    /// Up to the next LF, which is left out: its first `max` bytes, and how many there are.
    fn line(&mut self, max: usize) -> std::io::Result<Option<(Vec<u8>, usize)>> {
        let (mut body, mut size, mut begun) = (Vec::new(), 0, false);
        loop {
            let some = match self.input.fill_buf() {
                Ok(some) => some,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if some.is_empty() {
                return Ok(begun.then_some((body, size)));
            }
            begun = true;
            let end = some.iter().position(|byte| *byte == b'\n');
            let part = &some[..end.unwrap_or(some.len())];
            size += part.len();
            let room = max - body.len();
            body.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some((body, size)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few bytes at a time.
    struct Slowly<'t>(&'t [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(into.len()).min(3);
            self.0.read(&mut into[..count])
        }
    }

    fn lines(text: &[u8], max: usize) -> Vec<Result<String, usize>> {
        let mut input = Lines::of(Slowly(text), max);
        let mut all = Vec::new();
        while let Some(line) = input.next().expect("it can be read") {
            all.push(match line {
                Line::Body(body) => Ok(String::from_utf8(body).expect("text")),
                Line::TooLong(size) => Err(size),
            });
        }
        all
    }

    fn texts(all: &[&str]) -> Vec<Result<String, usize>> {
        all.iter().map(|text| Ok((*text).to_owned())).collect()
    }

    #[test]
    fn lines_are_bounded_and_the_last_needs_no_end() {
        let wanted = [Ok("ab".into()), Ok(String::new()), Err(6), Ok("cd".into())];
        assert_eq!(lines(b"ab\n\nabcdef\ncd", 4), wanted);
        assert_eq!(lines(b"", 4), []);
        assert_eq!(lines(b"a\n", 4), texts(&["a"]));
    }

    #[test]
    fn ends_of_either_kind_and_a_mark_are_no_part_of_a_line() {
        assert_eq!(lines(b"\xef\xbb\xbfabcd\r\n\r\nb\r\n", 4), texts(&["abcd", "", "b"]));
        assert_eq!(lines(b"\xef\xbb\xbf", 4), texts(&[""]));
        assert_eq!(lines(b"\xef\xbb\xbf\r\nabcd\r", 4), texts(&["", "abcd"]));
        assert_eq!(lines(b"abcde\r\nabcdefghijkl\r\n", 4), [Err(5), Err(13)]);
        assert_eq!(lines(b"a\xef\xbb\xbf\rb\n", 9), texts(&["a\u{feff}\rb"]));
    }

    #[test]
    fn a_text_in_utf_16_is_refused() {
        for text in [&b"\xff\xfea\0\n\0"[..], b"\xfe\xff\0a\0\n"] {
            let error = Lines::of(text, 9).next().expect_err("no lines of UTF-8");
            assert!(error.to_string().contains("UTF-16"));
        }
    }
}
