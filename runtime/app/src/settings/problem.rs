//! What is wrong with a configuration, noted instead of stopping at the first of it.

use std::cell::RefCell;

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `pipelines.orders.handler.timeout`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub what: String,
    /// What stands below it, a line each: what to add to the file.
    pub lines: Vec<String>,
}

impl Problem {
    pub fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), lines: Vec::new() }
    }

    /// With words that may have several lines.
    pub fn in_lines(path: impl Into<String>, text: &str) -> Self {
        let (what, rest) = text.split_once('\n').unwrap_or((text, ""));
        Self { lines: rest.lines().map(str::to_owned).collect(), ..Self::new(path, what) }
    }
}

/// Problems found so far; shared by all sections.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub fn note(&self, path: &str, what: impl Into<String>) {
        self.0.borrow_mut().push(Problem::new(path, what));
    }

    pub fn into_all(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}
