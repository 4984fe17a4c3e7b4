//! What is wrong with a body, and where in it.

use pelton_core::shown::shown;
use std::fmt::Write;

/// Bytes of a path, and of what is wrong, that are shown.
const PATH_BYTES: usize = 200;
const WHAT_BYTES: usize = 300;

/// Something wrong. Its path grows from its end while the readers return, so a sound body pays nothing.
#[derive(Debug)]
pub(super) struct Fault {
    what: String,
    /// The innermost first.
    path: Vec<String>,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), path: Vec::new() }
    }

    /// The same, inside of a field, an item or an entry.
    pub(super) fn within(mut self, part: impl ToString) -> Self {
        self.path.push(part.to_string());
        self
    }

    /// `at /lines/3/price: what`, with the path as a JSON pointer.
    pub(super) fn describe(&self) -> String {
        let mut pointer = String::new();
        for part in self.path.iter().rev() {
            pointer.push('/');
            pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        }
        describe(&pointer, &self.what)
    }
}

/// A pointer and what is wrong there; both are cut, and on one line.
pub(super) fn describe(pointer: &str, what: &str) -> String {
    let mut text = String::new();
    let written = if pointer.is_empty() {
        write!(text, "{}", shown(what).at_most(WHAT_BYTES))
    } else {
        write!(text, "at {}: {}", shown(pointer).at_most(PATH_BYTES), shown(what).at_most(WHAT_BYTES))
    };
    debug_assert!(written.is_ok(), "a text takes what is written");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_pointer_on_one_line() {
        let fault = Fault::new("is no\nnumber").within("a/b~c").within(3).within("lines");
        assert_eq!(fault.describe(), "at /lines/3/a~1b~0c: is no\\x0anumber");
        assert_eq!(Fault::new("ends early").describe(), "ends early");
        assert!(Fault::new("x".repeat(10_000)).within("y".repeat(10_000)).describe().len() < 700);
    }
}
