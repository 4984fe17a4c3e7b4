//! Numbers at one moment, under the names of the table.

use super::histogram::Totals;
use super::table::{Label, Name};
use std::sync::Arc;

/// What series have in common, such as those of one pipeline.
pub type Labels = Arc<[(Label, Arc<str>)]>;

/// One number, or a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Whole(u64),
    Real(f64),
    Histogram(Totals),
}

/// One series.
#[derive(Debug, Clone)]
pub struct Point {
    pub base: Labels,
    pub more: Vec<(Label, Arc<str>)>,
    pub value: Value,
}

/// All numbers, by metric.
#[derive(Debug, Default)]
pub struct Values {
    all: Vec<Vec<Point>>,
    most: usize,
    dropped: u64,
}

impl Values {
    /// Of no metric more series than `most` that are bounded.
    pub fn new(most: usize) -> Self {
        Self { all: vec![Vec::new(); Name::ALL.len()], most, dropped: 0 }
    }

    /// A number.
    pub fn add(&mut self, name: Name, base: &Labels, more: &[(Label, &str)], value: Value) {
        let is_told = |label: &Label| name.metric().labels.contains(label);
        debug_assert!(base.iter().map(|(label, _)| label).all(is_told), "{name:?}");
        debug_assert!(more.iter().map(|(label, _)| label).all(is_told), "{name:?}");
        let more = more.iter().map(|(label, text)| (*label, Arc::from(*text))).collect();
        if let Some(points) = self.all.get_mut(name as usize) {
            points.push(Point { base: base.clone(), more, value });
        }
    }

    /// Something that was counted. What never happened is not written.
    pub fn count(&mut self, name: Name, base: &Labels, more: &[(Label, &str)], count: u64) {
        if count > 0 {
            self.add(name, base, more, Value::Whole(count));
        }
    }

    /// One of those whose labels come from outside: there may be any number of them.
    pub fn bounded(&mut self, name: Name, base: &Labels, more: &[(Label, &str)], value: Value) {
        if self.all.get(name as usize).is_some_and(|points| points.len() < self.most) {
            self.add(name, base, more, value);
        } else {
            self.dropped += 1;
        }
    }

    /// The same of something that was counted.
    pub fn bounded_count(&mut self, name: Name, base: &Labels, more: &[(Label, &str)], count: u64) {
        if count > 0 {
            self.bounded(name, base, more, Value::Whole(count));
        }
    }

    /// How many series were left out.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Those there are, in the order of the table.
    pub fn families(&self) -> impl Iterator<Item = (Name, &[Point])> {
        let all = Name::ALL.into_iter().zip(self.all.iter().map(Vec::as_slice));
        all.filter(|(_, points)| !points.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_labels_from_outside_there_are_so_many_and_the_rest_is_counted() {
        let mut values = Values::new(2);
        let base: Labels = [].into();
        for partition in ["a/0", "a/1", "a/2"] {
            values.bounded(Name::PartitionBehind, &base, &[(Label::PARTITION, partition)], Value::Whole(1));
        }
        values.count(Name::Handled, &base, &[], 0);
        let all: Vec<_> = values.families().map(|(name, points)| (name, points.len())).collect();
        assert_eq!((all, values.dropped()), (vec![(Name::PartitionBehind, 2)], 1));
    }
}
