//! What groups have committed, in the order they did: read from the topic in which brokers keep it.

use crate::kafka::Broker;
use std::collections::BTreeMap;

/// The commits of one group to each partition of a topic, in order.
///
/// # Panics
/// When the topic cannot be read, or is not written as it was in Kafka 4.
#[must_use]
pub fn commits(broker: &Broker, group: &str, topic: &str) -> BTreeMap<i32, Vec<i64>> {
    let mut commits: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for record in broker.records("__consumer_offsets") {
        let (Some(key), Some(value)) = (&record.key, &record.value) else { continue };
        let mut key = Bytes(key);
        // Other versions are of the groups themselves.
        if key.number(2) > 1 || key.text() != group || key.text() != topic {
            continue;
        }
        let partition = i32::try_from(key.number(4)).expect("a partition");
        let mut value = Bytes(value);
        value.number(2);
        commits.entry(partition).or_default().push(value.number(8));
    }
    commits
}

/// What is left to read.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn number(&mut self, bytes: usize) -> i64 {
        let (number, rest) = self.0.split_at(bytes);
        self.0 = rest;
        number.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte))
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.number(2)).expect("a length");
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}
