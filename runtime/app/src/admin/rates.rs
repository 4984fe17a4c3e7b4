//! How fast pipelines handle messages: counters looked at now and then, never on the way of a message.

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks, and how far back they go.
pub const INTERVAL: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// Messages handled in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Over the last minute, or since the worker has begun.
    pub one_minute: f64,
    pub five_minutes: f64,
}

/// Of all pipelines.
#[derive(Default)]
pub struct Rates(Mutex<BTreeMap<String, VecDeque<(Instant, u64)>>>);

impl Rates {
    fn looks(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<(Instant, u64)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what has been handled by now.
    pub fn note(&self, handled: BTreeMap<String, u64>, now: Instant) {
        let mut looks = self.looks();
        looks.retain(|name, _| handled.contains_key(name));
        for (name, number) in handled {
            let of = looks.entry(name).or_default();
            // A pipeline that has begun anew counts from nothing.
            if of.back().is_some_and(|(_, last)| *last > number) {
                of.clear();
            }
            of.push_back((now, number));
            while of.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > LONGEST + INTERVAL)
            {
                of.pop_front();
            }
        }
    }

    pub fn of(&self, pipeline: &str) -> Rate {
        let looks = self.looks();
        let Some(of) = looks.get(pipeline) else { return Rate::default() };
        Rate { one_minute: over(of, Duration::from_secs(60)), five_minutes: over(of, LONGEST) }
    }
}

/// From the first look of that time to the last.
fn over(looks: &VecDeque<(Instant, u64)>, time: Duration) -> f64 {
    let Some((now, last)) = looks.back() else { return 0.0 };
    let first = looks.iter().find(|(at, _)| now.saturating_duration_since(*at) <= time);
    let Some((at, first)) = first else { return 0.0 };
    let seconds = now.saturating_duration_since(*at).as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
    let handled = last.saturating_sub(*first) as f64;
    if seconds > 0.0 { (handled / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_its_time_and_begins_again_with_its_pipeline() {
        let (rates, began) = (Rates::default(), Instant::now());
        let note = |second: u64, number: u64| {
            rates.note([("orders".to_owned(), number)].into(), began + Duration::from_secs(second));
        };
        note(0, 0);
        assert_eq!(rates.of("orders"), Rate::default());
        (1..=300_u64).for_each(|second| note(second, if second <= 240 { 0 } else { (second - 240) * 100 }));
        assert_eq!(rates.of("orders"), Rate { one_minute: 100.0, five_minutes: 20.0 });
        note(301, 5);
        assert_eq!(rates.of("orders"), Rate::default());
        rates.note(BTreeMap::new(), began);
        assert!(rates.looks().is_empty());
    }
}
