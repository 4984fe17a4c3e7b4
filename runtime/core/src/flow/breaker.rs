//! A breaker: while most starts fail, nothing is started, so that what is downstream can recover and
//! attempts are not used up for nothing.

use crate::message::{Identity, Time};
use std::collections::BTreeMap;

/// So often at most a failure of one message is not counted as an attempt: one that fails by itself comes to
/// its end.
pub const MAX_EXCUSES: u32 = 10;

/// Probes in a row that have to go well before it closes.
const CLOSES_AFTER: u32 = 10;

/// Parts of the window.
const PARTS: usize = 10;

/// Messages whose excuses are remembered; of more than that none is excused.
const REMEMBERED: usize = 10_000;

/// For so long at least, in milliseconds.
const REMEMBERED_MS: u64 = 3_600_000;

/// When it opens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CircuitBreaker {
    /// The part of starts that fail from which on it opens: more than 0, 1 at most.
    pub failure_rate: f64,
    /// Of so many starts at least.
    pub minimum: u64,
    /// Within so many milliseconds.
    pub window_ms: u64,
    /// How long nothing is started then, in milliseconds.
    pub open_ms: u64,
}

/// Where a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BreakerState {
    /// All is well: everything is started.
    Closed,
    /// Nothing is started.
    Open,
    /// One message at a time is started, to see.
    HalfOpen,
}

impl BreakerState {
    /// The word in status, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What an outcome says of what is downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The handler came to an end: it has handled the message, or rejected it.
    Well,
    /// It asked for another try, or passed its time limit.
    Failed,
}

/// The breaker of one pipeline.
#[derive(Debug)]
pub struct Breaker {
    rules: CircuitBreaker,
    state: BreakerState,
    /// When the pause is over, while it is open.
    until: Time,
    /// Probes that went well in a row.
    well: u32,
    /// Starts that went well and that failed, in parts of the window; and the number of the last part.
    parts: [(u64, u64); PARTS],
    last: u64,
    opened: u64,
    excused: u64,
    /// Of messages that were excused: how often, and when last.
    excuses: BTreeMap<Identity, (u32, Time)>,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(rules: CircuitBreaker) -> Self {
        Self {
            rules,
            state: BreakerState::Closed,
            until: Time::default(),
            well: 0,
            parts: [(0, 0); PARTS],
            last: 0,
            opened: 0,
            excused: 0,
            excuses: BTreeMap::new(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// How often it has opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// How many failures were excused.
    #[must_use]
    pub fn excused(&self) -> u64 {
        self.excused
    }

    /// When it lets a probe through, while it is open.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        (self.state == BreakerState::Open).then_some(self.until)
    }

    /// Lets probes through once it was open for long enough.
    pub fn turn(&mut self, now: Time) {
        if self.state == BreakerState::Open && now >= self.until {
            (self.state, self.well) = (BreakerState::HalfOpen, 0);
        }
    }

    /// A start has ended; `is_probe` if it was the one that was let through. Whether the breaker has closed
    /// with that.
    pub fn saw(&mut self, seen: Seen, is_probe: bool, now: Time) -> bool {
        match (self.state, seen) {
            (BreakerState::Closed, _) => {
                self.count(seen, now);
                if seen == Seen::Failed && self.is_too_much() {
                    self.open(now);
                }
                false
            }
            (BreakerState::HalfOpen, Seen::Failed) if is_probe => {
                self.open(now);
                false
            }
            (BreakerState::HalfOpen, Seen::Well) if is_probe => {
                self.well += 1;
                let closes = self.well >= CLOSES_AFTER;
                if closes {
                    self.state = BreakerState::Closed;
                }
                closes
            }
            (BreakerState::Open | BreakerState::HalfOpen, _) => false,
        }
    }

    fn open(&mut self, now: Time) {
        self.state = BreakerState::Open;
        self.until = now.plus(self.rules.open_ms);
        self.parts = [(0, 0); PARTS];
        self.opened += 1;
    }

    fn count(&mut self, seen: Seen, now: Time) {
        let parts = PARTS as u64;
        let part = now.0 / (self.rules.window_ms / parts).max(1);
        for passed in 0..part.saturating_sub(self.last).min(parts) {
            self.part(part - passed).clone_from(&(0, 0));
        }
        self.last = self.last.max(part);
        let (well, failed) = self.part(self.last);
        match seen {
            Seen::Well => *well += 1,
            Seen::Failed => *failed += 1,
        }
    }

    fn part(&mut self, number: u64) -> &mut (u64, u64) {
        let place = usize::try_from(number % PARTS as u64).unwrap_or(0);
        &mut self.parts[place]
    }

    fn is_too_much(&self) -> bool {
        let (well, failed) = self.parts.iter().fold((0, 0), |all, part| (all.0 + part.0, all.1 + part.1));
        let all = well + failed;
        all >= self.rules.minimum && failed as f64 >= self.rules.failure_rate * all as f64
    }

    /// Whether a failure is not to be counted as an attempt of its message: it is not closed, and this was
    /// not said of the message too often.
    pub fn excuses(&mut self, identity: Identity, now: Time) -> bool {
        if self.state == BreakerState::Closed {
            return false;
        }
        if self.excuses.len() >= REMEMBERED && !self.excuses.contains_key(&identity) {
            self.excuses.retain(|_, (_, last)| now.since(*last) < REMEMBERED_MS);
            if self.excuses.len() >= REMEMBERED {
                return false;
            }
        }
        let (times, last) = self.excuses.entry(identity).or_insert((0, now));
        let excused = *times < MAX_EXCUSES;
        if excused {
            (*times, *last) = (*times + 1, now);
            self.excused += 1;
        }
        excused
    }

    /// A message is done with: its excuses are forgotten.
    pub fn forget(&mut self, identity: Identity) {
        if !self.excuses.is_empty() {
            self.excuses.remove(&identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: CircuitBreaker =
        CircuitBreaker { failure_rate: 0.5, minimum: 20, window_ms: 10_000, open_ms: 30_000 };
    const M: Identity = Identity::Key([1; 16]);

    fn saw(breaker: &mut Breaker, seen: Seen, times: u64, now: u64) {
        (0..times).for_each(|_| assert!(!breaker.saw(seen, false, Time(now))));
    }

    #[test]
    fn it_opens_at_the_rate_and_not_of_too_few() {
        let mut breaker = Breaker::new(RULES);
        saw(&mut breaker, Seen::Failed, 19, 1_000);
        assert_eq!(breaker.state(), BreakerState::Closed, "too few");
        saw(&mut breaker, Seen::Well, 21, 1_000);
        saw(&mut breaker, Seen::Failed, 1, 1_000);
        assert_eq!(breaker.state(), BreakerState::Closed, "20 of 41");
        saw(&mut breaker, Seen::Failed, 1, 9_999);
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1), "21 of 42");
    }

    #[test]
    fn what_is_past_its_window_is_forgotten() {
        let mut breaker = Breaker::new(RULES);
        for second in 0..300 {
            saw(&mut breaker, Seen::Failed, 1, second * 1_000);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "10 within ten seconds");
        saw(&mut breaker, Seen::Failed, 19, 900_000);
        saw(&mut breaker, Seen::Failed, 1, 911_000);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn probes_close_it_and_one_that_fails_opens_it_again() {
        let mut breaker = Breaker::new(RULES);
        saw(&mut breaker, Seen::Failed, 20, 0);
        breaker.turn(Time(29_999));
        assert_eq!((breaker.state(), breaker.next()), (BreakerState::Open, Some(Time(30_000))));
        breaker.turn(Time(30_000));
        assert_eq!((breaker.state(), breaker.next()), (BreakerState::HalfOpen, None));
        saw(&mut breaker, Seen::Failed, 50, 30_000);
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "what had started before says nothing");
        (0..9).for_each(|_| assert!(!breaker.saw(Seen::Well, true, Time(30_001))));
        assert!(!breaker.saw(Seen::Failed, true, Time(30_002)));
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 2));
        breaker.turn(Time(60_002));
        let closes = (0..10).map(|_| breaker.saw(Seen::Well, true, Time(60_003))).collect::<Vec<_>>();
        assert_eq!((closes.iter().filter(|c| **c).count(), closes[9]), (1, true));
        saw(&mut breaker, Seen::Failed, 19, 60_004);
        assert_eq!(breaker.state(), BreakerState::Closed, "it counts anew");
    }

    #[test]
    fn a_message_is_excused_ten_times_until_it_is_done_with() {
        let mut breaker = Breaker::new(RULES);
        assert!(!breaker.excuses(M, Time(0)), "closed");
        saw(&mut breaker, Seen::Failed, 20, 0);
        let excused = |breaker: &mut Breaker| (0..50).filter(|_| breaker.excuses(M, Time(1))).count();
        assert_eq!((excused(&mut breaker), excused(&mut breaker)), (10, 0));
        breaker.forget(M);
        assert_eq!((excused(&mut breaker), breaker.excused()), (10, 20));
    }

    #[test]
    fn so_many_messages_are_remembered_and_no_more() {
        let mut breaker = Breaker::new(RULES);
        saw(&mut breaker, Seen::Failed, 20, 0);
        let id = |n: u64| Identity::Position(crate::Position { partition: 0, offset: n });
        let count = (0..20_000).filter(|n| breaker.excuses(id(*n), Time(1))).count();
        assert_eq!(count, REMEMBERED);
        assert!(!breaker.excuses(id(20_001), Time(REMEMBERED_MS)));
        assert!(breaker.excuses(id(20_001), Time(REMEMBERED_MS + 1)));
    }
}
