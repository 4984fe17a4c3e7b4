//! A table of the configuration, without references and units.

use pelton_core::broker::Settings;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Keys and values. Durations are milliseconds, and sizes bytes.
#[derive(Debug, Clone, Default)]
pub struct Table(pub BTreeMap<&'static str, String>);

impl Table {
    /// With one more key.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.0.insert(key, value.to_string());
        self
    }

    fn value<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        let parsed = |text: &String| text.parse().unwrap_or_else(|_| panic!("{key} is {text}"));
        self.0.get(key).map_or(default, parsed)
    }
}

impl Settings for Table {
    fn has(&self, key: &'static str) -> bool {
        self.0.contains_key(key)
    }

    fn text(&self, key: &'static str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn texts(&self, _: &'static str) -> Vec<String> {
        Vec::new()
    }

    fn duration(&self, key: &'static str, default: Duration) -> Duration {
        Duration::from_millis(self.value(key, u64::try_from(default.as_millis()).unwrap_or(u64::MAX)))
    }

    fn size(&self, key: &'static str, default: usize) -> usize {
        self.value(key, default)
    }

    fn number(&self, key: &'static str, _: RangeInclusive<u64>, default: u64) -> u64 {
        self.value(key, default)
    }

    fn flag(&self, _: &'static str, default: bool) -> bool {
        default
    }

    fn choice(&self, _: &'static str, _: &[&str], default: usize) -> usize {
        default
    }

    fn table(&self, _: &'static str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn problem(&self, key: &str, what: String) {
        panic!("{key} {what}");
    }
}
