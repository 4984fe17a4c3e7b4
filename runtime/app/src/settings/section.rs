//! One table of the file: takes values out by name, and notes every problem instead of stopping.

use super::env::{Lookup, expand};
use super::problem::Problems;
use pelton_core::broker::Settings;
use pelton_core::units;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use toml::{Table, Value};

/// Keys of one table that are named, of those that are not known.
const UNKNOWN_KEYS: usize = 20;

/// A table, by its path.
pub struct Section<'c> {
    pub path: String,
    table: Table,
    known: RefCell<BTreeSet<&'static str>>,
    env: Lookup<'c>,
    pub problems: &'c Problems,
}

/// What stands at a key that may be written in several forms.
pub enum Written<'c> {
    Flag(bool),
    /// As it stands: its references are not put in.
    Text(String),
    /// With their references put in.
    Texts(Vec<String>),
    Table(Section<'c>),
    /// None of these; what it is, in words.
    Other(&'static str),
}

impl<'c> Section<'c> {
    pub fn new(path: &str, table: Table, env: Lookup<'c>, problems: &'c Problems) -> Self {
        Self { path: path.to_owned(), table, known: RefCell::default(), env, problems }
    }

    /// The path of a key.
    pub fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a problem with a key.
    pub fn problem(&self, key: &str, what: impl Into<String>) {
        self.problems.note(&self.at(key), what);
    }

    fn get(&self, key: &'static str) -> Option<&Value> {
        self.known.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// A variable of the environment that says something by itself; none where it is empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// Whether the key is there at all.
    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// A table below this one; an empty one when it is left out.
    pub fn section(&self, key: &'static str) -> Section<'c> {
        let table = match self.get(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table.clone(),
            Some(other) => {
                self.problem(
                    key,
                    format!("is {}, must be a table: write `[{}]`", kind(other), self.at(key)),
                );
                Table::new()
            }
        };
        Section::new(&self.at(key), table, self.env, self.problems)
    }

    /// The tables below a key, by their names.
    pub fn sections(&self, key: &'static str) -> Vec<(String, Section<'c>)> {
        let section = self.section(key);
        let mut all = Vec::new();
        for (name, value) in &section.table {
            match value {
                Value::Table(table) => {
                    let path = section.at(name);
                    all.push((name.clone(), Section::new(&path, table.clone(), self.env, self.problems)));
                }
                other => section.problem(name, format!("is {}, must be a table", kind(other))),
            }
        }
        all
    }

    /// The tables of a list of tables: `[[KEY]]`.
    pub fn tables(&self, key: &'static str) -> Vec<Section<'c>> {
        let list = match self.get(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                let what =
                    format!("is {}, must be a list of tables: write `[[{}]]`", kind(other), self.at(key));
                self.problem(key, what);
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for (place, value) in list.iter().enumerate() {
            let path = format!("{}[{place}]", self.at(key));
            match value {
                Value::Table(table) => {
                    all.push(Section::new(&path, table.clone(), self.env, self.problems));
                }
                other => self.problems.note(&path, format!("is {}, must be a table", kind(other))),
            }
        }
        all
    }

    /// What stands at a key, in whatever form.
    pub fn written(&self, key: &'static str) -> Option<Written<'c>> {
        let value = self.get(key)?;
        Some(self.form(key, value))
    }

    /// All that stands here, whatever the keys are.
    pub fn entries(&self) -> Vec<(String, Written<'c>)> {
        self.table.iter().map(|(key, value)| (key.clone(), self.form(key, value))).collect()
    }

    fn form(&self, key: &str, value: &Value) -> Written<'c> {
        match value {
            Value::Boolean(truth) => Written::Flag(*truth),
            Value::String(text) => Written::Text(text.clone()),
            Value::Integer(number) => Written::Text(number.to_string()),
            Value::Float(number) => Written::Text(number.to_string()),
            Value::Array(list) => {
                Written::Texts(list.iter().filter_map(|one| self.plain(key, one)).collect())
            }
            Value::Table(table) => {
                Written::Table(Section::new(&self.at(key), table.clone(), self.env, self.problems))
            }
            Value::Datetime(_) => Written::Other(kind(value)),
        }
    }

    /// A text, with its references put in.
    pub fn text(&self, key: &'static str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => match expand(text, self.env) {
                Ok(text) => Some(text),
                Err(why) => {
                    self.problem(key, why);
                    None
                }
            },
            other => {
                self.problem(key, format!("is {}, must be a text in quotes", kind(other)));
                None
            }
        }
    }

    /// A value that is written as text, or as a bare number.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = match self.get(key)? {
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::String(_) => self.text(key)?,
            other => {
                self.problem(key, format!("is {}, must be {wanted}", kind(other)));
                return None;
            }
        };
        let value = parse(&text);
        if value.is_none() {
            self.problem(key, format!("is `{text}`, must be {wanted}"));
        }
        value
    }

    pub fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.parsed(key, units::DURATION, units::duration).unwrap_or(default)
    }

    pub fn size(&self, key: &'static str, default: usize) -> usize {
        self.parsed(key, units::SIZE, units::size).unwrap_or(default)
    }

    /// A whole number within bounds. Of the type that it is used as: there is nothing to convert.
    pub fn number<N: Copy + Display + FromStr + PartialOrd>(
        &self,
        key: &'static str,
        bounds: RangeInclusive<N>,
        default: N,
    ) -> N {
        let wanted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let parse = |text: &str| text.parse().ok().filter(|n| bounds.contains(n));
        self.parsed(key, &wanted, parse).unwrap_or(default)
    }

    /// A number within bounds.
    pub fn real(&self, key: &'static str, bounds: RangeInclusive<f64>, default: f64) -> f64 {
        let wanted = format!("a number from {:?} to {:?}", bounds.start(), bounds.end());
        let parse = |text: &str| text.parse().ok().filter(|n| bounds.contains(n));
        self.parsed(key, &wanted, parse).unwrap_or(default)
    }

    /// True or false, as it is written or by reference.
    pub fn flag(&self, key: &'static str, default: bool) -> bool {
        if let Some(Value::Boolean(truth)) = self.get(key) {
            return *truth;
        }
        self.parsed(key, "true or false", |text| text.parse().ok()).unwrap_or(default)
    }

    /// A list of texts, with their references put in; empty when it is left out.
    pub fn texts(&self, key: &'static str) -> Vec<String> {
        let list = match self.get(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.problem(key, format!("is {}, must be a list: write [\"...\"]", kind(other)));
                return Vec::new();
            }
        };
        list.iter().filter_map(|value| self.plain(key, value)).collect()
    }

    /// Whether it is a list with nothing in it.
    pub fn is_empty_list(&self, key: &'static str) -> bool {
        matches!(self.get(key), Some(Value::Array(list)) if list.is_empty())
    }

    /// Every key with its value as text, whatever the keys are.
    fn all_texts(&self) -> Vec<(String, String)> {
        let text = |(name, value): (&String, &Value)| Some((name.clone(), self.plain(name, value)?));
        self.table.iter().filter_map(text).collect()
    }

    fn plain(&self, key: &str, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => match expand(text, self.env) {
                Ok(text) => return Some(text),
                Err(why) => self.problem(key, why),
            },
            Value::Integer(number) => return Some(number.to_string()),
            Value::Float(number) => return Some(number.to_string()),
            Value::Boolean(truth) => return Some(truth.to_string()),
            other => self.problem(key, format!("is {}, must be a text in quotes", kind(other))),
        }
        None
    }

    /// One of some words.
    pub fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        words.get(self.place(key, &names, words.len())).map_or(default, |(_, value)| *value)
    }

    /// The place of one of some words.
    fn place(&self, key: &'static str, words: &[&str], default: usize) -> usize {
        let list: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let parse = |text: &str| words.iter().position(|word| *word == text);
        self.parsed(key, &list.join(", "), parse).unwrap_or(default)
    }

    /// Notes the keys that nobody asked for. Last.
    pub fn finish(self) {
        let known = self.known.borrow();
        let is_unknown = |key: &&String| !known.contains(key.as_str());
        let more = self.table.keys().filter(is_unknown).count().saturating_sub(UNKNOWN_KEYS);
        if more > 0 {
            self.problems.note(&self.path, format!("has {more} more keys that are not known here"));
        }
        for key in self.table.keys().filter(is_unknown).take(UNKNOWN_KEYS) {
            let is_near = |known: &&&str| is_as_long(known, key) && distance(known, key) <= 2;
            let near = known.iter().filter(is_near).min_by_key(|k| distance(k, key));
            let what = match near {
                Some(near) => format!("is not known here; did you mean `{near}`?"),
                None if known.is_empty() => "is not known here; this table has no keys".to_owned(),
                None => {
                    let list: Vec<&str> = known.iter().copied().collect();
                    format!("is not known here; the keys are {}", list.join(", "))
                }
            };
            self.problems.note(&self.at(key), what);
        }
    }
}

impl Settings for Section<'_> {
    fn has(&self, key: &'static str) -> bool {
        self.has(key)
    }

    fn text(&self, key: &'static str) -> Option<String> {
        self.text(key)
    }

    fn texts(&self, key: &'static str) -> Vec<String> {
        self.texts(key)
    }

    fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.duration(key, default)
    }

    fn size(&self, key: &'static str, default: usize) -> usize {
        self.size(key, default)
    }

    fn number(&self, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        self.number(key, bounds, default)
    }

    fn flag(&self, key: &'static str, default: bool) -> bool {
        self.flag(key, default)
    }

    fn choice(&self, key: &'static str, words: &[&str], default: usize) -> usize {
        self.place(key, words, default)
    }

    fn table(&self, key: &'static str) -> Vec<(String, String)> {
        self.section(key).all_texts()
    }

    fn problem(&self, key: &str, what: String) {
        self.problem(key, what);
    }
}

/// Whether two edits may be enough, of characters of four bytes at most.
fn is_as_long(a: &str, b: &str) -> bool {
    a.len().abs_diff(b.len()) <= 8
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Edits between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            let next = changed.min(row[j].min(row[j + 1]) + 1);
            corner = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn distances() {
        assert_eq!(super::distance("timeout", "timout"), 1);
        assert_eq!(super::distance("memory", "memroy"), 2);
        assert_eq!(super::distance("", "abc"), 3);
    }
}
