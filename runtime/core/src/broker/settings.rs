//! How a broker reads its own table of the configuration, without knowing what the file is written in.

use std::ops::RangeInclusive;
use std::time::Duration;

/// One table of the configuration. Values are taken out by name. A value that is of the wrong form is noted
/// as a problem, and the default is given in its place; so every problem of a file is found at once. A key
/// that nobody asks for is a problem too.
pub trait Settings {
    /// Whether the key is there at all.
    fn has(&self, key: &'static str) -> bool;

    /// A text, with its references to the environment put in.
    fn text(&self, key: &'static str) -> Option<String>;

    /// A list of texts; empty when it is left out.
    fn texts(&self, key: &'static str) -> Vec<String>;

    /// A duration such as `30s`.
    fn duration(&self, key: &'static str, default: Duration) -> Duration;

    /// A size such as `64KiB`, in bytes.
    fn size(&self, key: &'static str, default: usize) -> usize;

    /// A whole number within bounds.
    fn number(&self, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64;

    /// True or false.
    fn flag(&self, key: &'static str, default: bool) -> bool;

    /// One of some words, by its place among them. `default` is a place too.
    fn choice(&self, key: &'static str, words: &[&str], default: usize) -> usize;

    /// Every key of a table below this one, with its value as text, whatever the keys are.
    fn table(&self, key: &'static str) -> Vec<(String, String)>;

    /// Notes a problem with a key: what is wrong, and what to write instead. A key of a table below is
    /// `TABLE.KEY`.
    fn problem(&self, key: &str, what: String);
}

impl dyn Settings + '_ {
    /// A text that has to be there; `example` is as it would be written, with its quotes.
    pub fn required(&self, key: &'static str, example: &str) -> String {
        let text = self.text(key);
        // One of the wrong form has been noted already.
        let is_missing = text.as_ref().map_or(!self.has(key), String::is_empty);
        if is_missing {
            self.problem(key, format!("is missing; write {key} = {example}"));
        }
        text.unwrap_or_default()
    }

    /// A text that may be left out, and is not empty.
    pub fn optional(&self, key: &'static str) -> Option<String> {
        let text = self.text(key);
        if text.as_deref() == Some("") {
            self.problem(key, "is empty; write a name, or leave it out".to_owned());
        }
        text
    }

    /// The value that goes with one of some words; that of the first when it is left out.
    pub fn one_of<T: Copy, const N: usize>(&self, key: &'static str, words: [(&str, T); N]) -> T {
        words[self.choice(key, &words.map(|(word, _)| word), 0)].1
    }
}
