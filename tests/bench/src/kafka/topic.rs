//! A topic of a broker, and groups that read it.

use crate::args::Setup;
use crate::load::Load;
use anyhow::Result;
use pelton_tests::kafka::{Broker, Record};
use std::cell::Cell;

/// Partitions of the topic.
pub const PARTITIONS: i32 = 4;
/// Different keys.
const KEYS: u64 = 10_000;
/// Every so-manieth record of a skewed load has the hot key.
const HOT: u64 = 100;
/// Records that are produced at once.
const AT_ONCE: usize = 20_000;

/// A broker of its own, and one topic after another on it.
pub struct Topic {
    pub broker: Broker,
    number: Cell<u32>,
    groups: Cell<u32>,
}

impl Topic {
    /// Starts the broker.
    pub fn new(_: &Setup) -> Result<Self> {
        Ok(Self { broker: Broker::start(), number: Cell::new(0), groups: Cell::new(0) })
    }

    pub fn name(&self) -> String {
        format!("bench-{}", self.number.get())
    }

    /// A group that nobody has used.
    pub fn group(&self) -> String {
        self.groups.set(self.groups.get() + 1);
        format!("group-{}", self.groups.get())
    }

    /// As a worker's `source`, in a group that nobody has used.
    pub fn source(&self) -> String {
        format!(
            "{{ type = \"kafka\", bootstrap_servers = {:?}, topics = [{:?}], group_id = {:?} }}",
            self.broker.address,
            self.name(),
            self.group()
        )
    }

    /// A new topic with a load, over ten thousand keys.
    pub fn fill(&self, load: Load) -> Result<Load> {
        self.fill_with(load, |number| format!("key-{}", number % KEYS))
    }

    /// A new topic with a load, one in a hundred of one key.
    pub fn fill_skewed(&self, load: Load) -> Result<Load> {
        let key =
            |number| if number % HOT == 0 { "hot".to_owned() } else { format!("key-{}", number % KEYS) };
        self.fill_with(load, key)
    }

    fn fill_with(&self, load: Load, key: impl Fn(u64) -> String) -> Result<Load> {
        self.number.set(self.number.get() + 1);
        self.broker.topic(&self.name(), PARTITIONS);
        let numbers: Vec<u64> = load.numbers().collect();
        for some in numbers.chunks(AT_ONCE) {
            let record = |number: &u64| Record {
                key: Some(key(*number).into_bytes()),
                value: Some(load.body(*number)),
                ..Record::default()
            };
            self.broker.produce(&self.name(), &some.iter().map(record).collect::<Vec<_>>());
        }
        Ok(load)
    }
}
