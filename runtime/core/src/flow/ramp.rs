//! A rate that grows after an outage: the backlog would else meet what is downstream at full speed, when
//! that has just come back.

use crate::message::Time;

/// How long after a beginning an old message tells of an outage: a source may bring new ones first.
const LOOK_MS: u64 = 10_000;

/// How the rate grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RampUp {
    /// From its beginning to the full rate, in milliseconds.
    pub over_ms: u64,
    /// The part of the rate that it begins with: more than 0, 1 at most.
    pub from: f64,
    /// There was an outage when a message is older than this, in milliseconds.
    pub outage_after_ms: u64,
}

/// Where the growth is. It begins with the first old message after the pipeline began, was resumed, or its
/// breaker closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    rules: RampUp,
    state: RampState,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum RampState {
    /// Something has begun, and nothing has come since.
    Armed,
    /// Messages come, and their ages are looked at until then.
    Looks(Time),
    Since(Time),
    Over,
}

impl Ramp {
    /// One that looks for an outage.
    #[must_use]
    pub fn new(rules: RampUp) -> Self {
        Self { rules, state: RampState::Armed }
    }

    /// Something begins: it is looked anew whether there was an outage.
    pub fn arm(&mut self) {
        self.state = RampState::Armed;
    }

    /// Whether the age of a message that comes now says anything.
    #[must_use]
    pub fn looks(&self) -> bool {
        matches!(self.state, RampState::Armed | RampState::Looks(_))
    }

    /// A message has come, so old.
    pub fn saw(&mut self, age_ms: u64, now: Time) {
        let until = match self.state {
            RampState::Armed => now.plus(LOOK_MS),
            RampState::Looks(until) => until,
            RampState::Since(_) | RampState::Over => return,
        };
        self.state = if now > until {
            RampState::Over
        } else if age_ms > self.rules.outage_after_ms {
            RampState::Since(now)
        } else {
            RampState::Looks(until)
        };
    }

    /// The part of the rate that is allowed.
    #[must_use]
    pub fn part(&self, now: Time) -> f64 {
        let RampState::Since(began) = self.state else { return 1.0 };
        let (passed, over) = (now.since(began) as f64, self.rules.over_ms.max(1) as f64);
        (self.rules.from + (1.0 - self.rules.from) * passed / over).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: RampUp = RampUp { over_ms: 1_000, from: 0.1, outage_after_ms: 60_000 };

    #[test]
    fn it_grows_from_the_first_old_message_on() {
        let mut ramp = Ramp::new(RULES);
        ramp.saw(60_000, Time(5_000));
        assert_eq!((ramp.part(Time(5_000)), ramp.looks()), (1.0, true));
        ramp.saw(60_001, Time(6_000));
        assert_eq!((ramp.part(Time(6_000)), ramp.part(Time(6_500))), (0.1, 0.55));
        assert_eq!((ramp.part(Time(7_000)), ramp.part(Time(u64::MAX))), (1.0, 1.0));
        ramp.saw(60_001, Time(6_900));
        assert_eq!(ramp.part(Time(6_900)), 0.91, "it does not begin again by itself");
        ramp.arm();
        assert_eq!(ramp.part(Time(6_900)), 1.0);
        ramp.saw(60_001, Time(7_000));
        assert_eq!(ramp.part(Time(7_000)), 0.1);
    }

    #[test]
    fn an_old_message_amid_new_ones_is_no_outage() {
        let mut ramp = Ramp::new(RULES);
        ramp.saw(0, Time(100_000));
        ramp.saw(99_999, Time(110_001));
        assert_eq!((ramp.part(Time(110_001)), ramp.looks()), (1.0, false));
    }
}
