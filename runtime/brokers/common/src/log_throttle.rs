//! What goes wrong again and again is said once in a while.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two times that the same is said.
pub const SAY_AGAIN: Duration = Duration::from_secs(30);

/// One thing that may go wrong.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    times: u64,
}

impl LogThrottle {
    /// It went wrong `times` more: how often since it was last said, when it is to be said now.
    pub fn again(&self, times: usize, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.times += times as u64;
        if said.last.is_some_and(|last| now.saturating_duration_since(last) < SAY_AGAIN) {
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.times))
    }
}

/// Kinds of which it is remembered when they were said.
const REMEMBERED: usize = 16;

/// Several things that may go wrong, each by its kind.
#[derive(Debug)]
pub struct KindThrottle<K>(Mutex<VecDeque<(K, LogThrottle)>>);

impl<K> Default for KindThrottle<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq> KindThrottle<K> {
    /// One of a kind went wrong: how often since it was last said, when it is to be said now.
    pub fn again(&self, kind: K, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, throttle) = kinds
            .iter()
            .position(|(known, _)| *known == kind)
            .and_then(|place| kinds.remove(place))
            .unwrap_or_else(|| (kind, LogThrottle::default()));
        let said = throttle.again(1, now);
        // The one that has not come for longest is forgotten.
        if kinds.len() >= REMEMBERED {
            kinds.pop_front();
        }
        kinds.push_back((kind, throttle));
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_with_how_often_it_was_not() {
        let (seldom, start) = (LogThrottle::default(), Instant::now());
        let all = [0, 1, 29, 30, 31, 61].map(|s| seldom.again(2, start + Duration::from_secs(s)));
        assert_eq!(all, [Some(2), None, None, Some(6), None, Some(4)]);
    }

    #[test]
    fn each_kind_is_said_and_the_latest_are_remembered() {
        let (kinds, now) = (KindThrottle::default(), Instant::now());
        assert_eq!(
            [kinds.again(0, now), kinds.again(1, now), kinds.again(0, now)],
            [Some(1), Some(1), None]
        );
        (2..=REMEMBERED).for_each(|kind| assert_eq!(kinds.again(kind, now), Some(1)));
        assert_eq!(kinds.again(0, now), None, "it came last but the others");
        assert_eq!(kinds.again(1, now), Some(1), "it was forgotten");
    }
}
