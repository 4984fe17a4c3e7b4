//! Lines that somebody types, each a message.

use super::Event;
use crate::input::lines::{Line, Lines};
use std::sync::mpsc::SyncSender;

/// What a word of a command may have, and a line is sent as one.
const LINE: usize = 100_000;

/// Lines that wait, and their bytes, at most.
const LINES: usize = 10_000;
const BYTES: usize = 16 << 20;

/// Lines that wait for the version that they are meant for.
#[derive(Debug, Default)]
pub struct Waiting {
    lines: Vec<String>,
    bytes: usize,
}

impl Waiting {
    /// Takes one more; true when it is the first.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, line: String) -> Result<bool, String> {
        if self.lines.len() == LINES || self.bytes + line.len() > BYTES {
            return Err(format!("{} lines wait already; type it again later", self.lines.len()));
        }
        self.bytes += line.len();
        self.lines.push(line);
        Ok(self.lines.len() == 1)
    }

    /// All of them, in their order.
    pub fn take(&mut self) -> Vec<String> {
        self.bytes = 0;
        std::mem::take(&mut self.lines)
    }
}

/// Reads lines of standard input, until it ends.
pub fn read(events: SyncSender<Event>) {
    std::thread::spawn(move || {
        let mut lines = Lines::of(std::io::stdin().lock(), LINE);
        loop {
            let (typed, failed) = match lines.next() {
                Ok(None) => return,
                Ok(Some(Line::Body(line))) => {
                    (String::from_utf8(line).map_err(|_| "it is no text in UTF-8".to_owned()), false)
                }
                Ok(Some(Line::TooLong(size))) => (
                    Err(format!("it has {size} bytes; `pelton send --file` takes more than {LINE}")),
                    false,
                ),
                Err(error) => (Err(format!("standard input cannot be read any more: {error}")), true),
            };
            // The loop has ended when nobody hears it.
            if events.send(Event::Typed(typed)).is_err() || failed {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_in_their_order_and_are_bounded() {
        let mut waiting = Waiting::default();
        assert_eq!((waiting.add("a".to_owned()), waiting.add("b".to_owned())), (Ok(true), Ok(false)));
        assert!(waiting.add("x".repeat(BYTES)).is_err());
        assert_eq!(waiting.take(), ["a", "b"]);
        assert_eq!(waiting.add("x".repeat(BYTES)), Ok(true));
    }
}
