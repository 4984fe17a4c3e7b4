//! What goes wrong again and again is said once in a while.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_with_how_often_it_was_not() {
        let (seldom, start) = (LogThrottle::default(), Instant::now());
        let all = [0, 1, 29, 30, 31, 61].map(|s| seldom.again(2, start + Duration::from_secs(s)));
        assert_eq!(all, [Some(2), None, None, Some(6), None, Some(4)]);
    }
}
