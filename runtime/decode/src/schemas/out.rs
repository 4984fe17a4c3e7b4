//! JSON that is written for a handler.

use std::io::{self, Write};

/// At most so many bytes; nothing where nobody wants it.
pub(super) struct Out {
    bytes: Vec<u8>,
    most: usize,
    wanted: bool,
    full: bool,
}

impl Out {
    pub(super) fn new(most: usize, wanted: bool) -> Self {
        Self { bytes: Vec::new(), most, wanted, full: false }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.wanted && !self.full {
            self.full = bytes.len() > self.most - self.bytes.len();
            if !self.full {
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// A string with its quotes, for text that needs no escapes.
    pub(super) fn quoted(&mut self, text: &str) {
        self.put(b"\"");
        self.put(text.as_bytes());
        self.put(b"\"");
    }

    /// Any text, as a string of JSON.
    pub(super) fn text(&mut self, text: &str) {
        if self.wanted {
            let written = serde_json::to_writer(&mut *self, text);
            debug_assert!(written.is_ok(), "a text can be written");
        }
    }

    /// Whether something was left out.
    pub(super) fn full(&self) -> bool {
        self.full
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether what is written counts; set aside while something is read that nobody sees.
    pub(super) fn set_wanted(&mut self, wanted: bool) -> bool {
        std::mem::replace(&mut self.wanted, wanted)
    }

    pub(super) fn wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Never fails: what has no place is left out, which [`full`](Out::full) says.
impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The words for a body that would be too large.
pub(super) fn too_large(most: usize) -> String {
    format!("as JSON it has more than {most} bytes, eight times `max_message_bytes`")
}
