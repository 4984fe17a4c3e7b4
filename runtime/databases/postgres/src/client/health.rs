//! How a database stands: told by those who ask it, and asked by those who would. After failures in a row
//! nobody tries to connect for a while, so that one that comes back is not run over.

use super::fault::{Fault, Kind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Trouble of something else than connecting that is not seen again for so long is over.
const OLD: Duration = Duration::from_secs(60);

/// The breaker, and what is known of the trouble.
#[derive(Debug)]
pub struct Health {
    /// Which database, for people.
    whose: String,
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    /// Failures to connect in a row.
    failures: u32,
    /// Nobody connects before.
    until: Option<Instant>,
    /// Why the last one who tried could not connect.
    away: Option<Fault>,
    /// What else went wrong last, and when.
    fault: Option<(Instant, Fault)>,
}

impl Health {
    /// Of a database that nobody has asked yet.
    #[must_use]
    pub fn new(whose: String) -> Self {
        Self { whose, state: Mutex::default() }
    }

    /// Whether one may connect now.
    ///
    /// # Errors
    /// Not before the pause is over: why the last one could not, and how long to wait.
    pub fn may_connect(&self, now: Instant) -> Result<(), (Fault, Duration)> {
        let state = self.state();
        match (state.until.and_then(|until| until.checked_duration_since(now)), &state.away) {
            (Some(wait), Some(fault)) if !wait.is_zero() => Err((fault.clone(), wait)),
            _ => Ok(()),
        }
    }

    /// Somebody could not connect.
    pub fn could_not_connect(&self, fault: &Fault, now: Instant, random: u64) {
        let mut state = self.state();
        // Those that tried at the same time are one failure.
        if state.until.is_none_or(|until| until <= now) {
            state.failures = state.failures.saturating_add(1);
            state.until = Some(now + pause(state.failures, random));
        }
        if state.away.as_ref() != Some(fault) {
            let advice = fault.advice();
            tracing::warn!(database = self.whose, "cannot connect: {fault}; {advice}. It is tried again");
        }
        state.away = Some(fault.clone());
    }

    /// Somebody has connected.
    pub fn connected(&self) {
        let mut state = self.state();
        if state.away.take().is_some() {
            tracing::info!(database = self.whose, "connected again");
        }
        (state.failures, state.until) = (0, None);
    }

    /// Something that was asked has failed.
    pub fn failed(&self, fault: &Fault, now: Instant) {
        let mut state = self.state();
        let known = state.fault.as_ref().is_some_and(|(_, known)| known == fault);
        if !known && fault.kind != Kind::Conflict {
            tracing::warn!(database = self.whose, "{fault}; {}. It is tried again", fault.advice());
        }
        if fault.kind != Kind::Conflict {
            state.fault = Some((now, fault.clone()));
        }
    }

    /// Something that writes has worked.
    pub fn works(&self) {
        let mut state = self.state();
        if state.fault.is_some() {
            state.fault = None;
        }
    }

    /// Why nothing works there now and what to do about it; none when all is well, as far as is known.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let state = self.state();
        let fault = state.fault.as_ref().filter(|(seen, _)| seen.elapsed() < OLD).map(|(_, fault)| fault);
        let fault = state.away.as_ref().or(fault)?;
        Some(format!("the database {}: {fault}; {}", self.whose, fault.advice()))
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twice as long each time, and less by up to a half, so that many do not come back together.
fn pause(failures: u32, random: u64) -> Duration {
    let pause = (PAUSES.0 * (1 << failures.saturating_sub(1).min(10))).min(PAUSES.1);
    pause.mul_f64(1.0 - 0.5 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn after_failures_nobody_connects_for_a_while_that_grows() {
        let (health, start) = (Health::new("shop".into()), Instant::now());
        let fault = Fault::new(Kind::Away, "refused");
        assert_eq!(health.may_connect(start), Ok(()));
        health.could_not_connect(&fault, start, 0);
        health.could_not_connect(&fault, start, 0);
        let (why, first) = health.may_connect(start).unwrap_err();
        assert_eq!((why, first), (fault.clone(), PAUSES.0), "two at once are one failure");
        let later = start + first;
        assert_eq!(health.may_connect(later), Ok(()));
        health.could_not_connect(&fault, later, 0);
        assert_eq!(health.may_connect(later).unwrap_err().1, PAUSES.0 * 2);
        assert!(health.trouble().unwrap().contains("refused; see that the server runs"));
        health.connected();
        assert_eq!((health.may_connect(later), health.trouble()), (Ok(()), None));
    }

    #[test]
    fn what_failed_is_trouble_until_something_works() {
        let health = Health::new("shop".into());
        health.failed(&Fault::new(Kind::Conflict, "deadlock"), Instant::now());
        assert_eq!(health.trouble(), None, "others in the way are no trouble");
        health.failed(&Fault::new(Kind::ReadOnly, "read only"), Instant::now());
        assert!(health.trouble().unwrap().contains("name the primary"));
        health.works();
        assert_eq!(health.trouble(), None);
    }
}
