//! What is started, and how fast: tokens for starts, a ramp after an outage, a breaker, and what an operator
//! wants.

use super::key_limits::KeyLimits;
use crate::flow::{Breaker, BreakerState, FlowRules, FlowStatus, Ramp, Rate, Seen, Steering, TokenBucket};
use crate::message::{Identity, Time};
use std::collections::BTreeSet;

/// So much of what may be started is held, in milliseconds, and no more: others may have the rest.
const HELD_MS: f64 = 2_000.0;

#[derive(Debug)]
pub struct Flow {
    configured: Option<Rate>,
    origin_ms: u64,
    steering: Steering,
    limit: Option<Limit>,
    ramp: Option<Ramp>,
    breaker: Option<Breaker>,
    /// The chunk that was let through to see whether the breaker may close.
    probe: Option<u64>,
    keys: Option<KeyLimits>,
    /// Since when something could have been started but for the tokens, and for how long in all before.
    limited_since: Option<Time>,
    limited_ms: u64,
}

/// Tokens for the starts of a pipeline.
#[derive(Debug)]
struct Limit {
    /// As it is configured, or as an operator wants it.
    full: Rate,
    /// What of that is allowed now.
    now: Rate,
    bucket: TokenBucket,
}

/// What has changed by what an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steered {
    /// It goes on, or some of its partitions do.
    pub goes_on: bool,
    /// Other partitions are paused than before.
    pub partitions: bool,
}

impl Flow {
    pub fn new(rules: &FlowRules) -> Self {
        let limit =
            |full: Rate| Limit { full, now: full, bucket: TokenBucket::full(full, Time::default()) };
        Self {
            configured: rules.rate,
            origin_ms: rules.origin_ms,
            steering: Steering::default(),
            limit: rules.rate.map(limit),
            ramp: rules.ramp_up.map(Ramp::new),
            breaker: rules.breaker.map(Breaker::new),
            probe: None,
            keys: rules.per_key.map(KeyLimits::new),
            limited_since: None,
            limited_ms: 0,
        }
    }

    /// An operator wants this from now on.
    pub fn steer(&mut self, steering: Steering, now: Time) -> Steered {
        let before = std::mem::replace(&mut self.steering, steering);
        if before.rate != self.steering.rate {
            self.change_rate(now);
        }
        let is_paused = |partition: &u32| self.steering.paused_partitions.contains(partition);
        let goes_on = before.paused && !self.steering.paused;
        let some_go_on = !before.paused_partitions.iter().all(is_paused);
        if goes_on || some_go_on {
            self.ramp.iter_mut().for_each(Ramp::arm);
        }
        let partitions = before.paused_partitions != self.steering.paused_partitions;
        Steered { goes_on: goes_on || some_go_on, partitions }
    }

    fn change_rate(&mut self, now: Time) {
        let wanted = self.steering.rate.map(|per_second| {
            self.configured.map_or_else(|| Rate::of(per_second), |rate| rate.at(per_second))
        });
        let full = wanted.or(self.configured);
        match (&mut self.limit, full) {
            (Some(limit), Some(full)) => limit.full = full,
            (limit @ None, Some(full)) => {
                *limit = Some(Limit { full, now: full, bucket: TokenBucket::full(full, now) });
            }
            (limit, None) => *limit = None,
        }
    }

    pub fn paused_partitions(&self) -> &BTreeSet<u32> {
        &self.steering.paused_partitions
    }

    pub fn pauses_partitions(&self) -> bool {
        !self.steering.paused_partitions.is_empty()
    }

    /// Time has passed: tokens have come, and an open breaker may let a probe through.
    pub fn turn(&mut self, now: Time) {
        self.breaker.iter_mut().for_each(|breaker| breaker.turn(now));
        if let Some(since) = self.limited_since.take() {
            self.limited_ms += now.since(since);
        }
        if let Some(limit) = &mut self.limit {
            limit.bucket.refill(limit.now, now);
            limit.now = limit.full.scaled(self.ramp.as_ref().map_or(1.0, |ramp| ramp.part(now)));
            limit.bucket.refill(limit.now, now);
        }
    }

    /// Whether nothing is received and nothing started.
    pub fn is_closed(&self) -> bool {
        self.steering.paused || self.breaker_state() == Some(BreakerState::Open)
    }

    /// Whether one message at a time is started.
    pub fn is_half_open(&self) -> bool {
        self.breaker_state() == Some(BreakerState::HalfOpen)
    }

    /// Whether what leaves may be started to fill a gap.
    pub fn fills_gaps(&self) -> bool {
        !self.is_closed() && !self.is_half_open()
    }

    fn breaker_state(&self) -> Option<BreakerState> {
        self.breaker.as_ref().map(Breaker::state)
    }

    /// How many may be started now, whatever their keys.
    pub fn most(&self, is_in_work: impl FnOnce(u64) -> bool) -> usize {
        if !self.may_start_one(is_in_work) {
            return 0;
        }
        let tokens = self.limit.as_ref().map_or(usize::MAX, |limit| limit.bucket.available());
        if self.is_half_open() { tokens.min(1) } else { tokens }
    }

    /// Whether one may be started, were there a token for it.
    pub fn may_start_one(&self, is_in_work: impl FnOnce(u64) -> bool) -> bool {
        let probes = || self.is_half_open() && self.probe.is_some_and(is_in_work);
        !self.is_closed() && !probes()
    }

    /// Something is ready, and may not start: that is known as a wait for tokens, if it is one.
    pub fn waits(&mut self, now: Time) {
        if self.has_no_token() && !self.is_closed() {
            self.limited_since = Some(now);
        }
    }

    /// Whether the starts that are allowed are used up for now.
    pub fn has_no_token(&self) -> bool {
        self.limit.as_ref().is_some_and(|limit| limit.bucket.available() == 0)
    }

    /// A chunk begins.
    pub fn begins(&mut self, chunk: u64, count: usize) {
        if self.is_half_open() {
            self.probe = Some(chunk);
        }
        self.limit.iter_mut().for_each(|limit| limit.bucket.take(count));
    }

    /// So many of what had begun have not started after all.
    pub fn unused(&mut self, count: usize) {
        self.limit.iter_mut().for_each(|limit| limit.bucket.give_back(count, limit.now));
    }

    /// Limits of keys, where there are any.
    pub fn keys(&mut self) -> Option<&mut KeyLimits> {
        self.keys.as_mut()
    }

    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether a message waits for a token of its key.
    pub fn awaits_key(&self, key: u64, slot: u64) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.is_waiting(key, slot))
    }

    pub fn has_breaker(&self) -> bool {
        self.breaker.is_some()
    }

    /// Whether a failure is none of its message's.
    pub fn excuses(&mut self, identity: Option<Identity>, now: Time) -> bool {
        let breaker = self.breaker.as_mut();
        identity.zip(breaker).is_some_and(|(identity, breaker)| breaker.excuses(identity, now))
    }

    /// A start has ended; whether the breaker has closed with that.
    pub fn saw(&mut self, seen: Seen, chunk: u64, now: Time) -> bool {
        let is_probe = self.probe == Some(chunk);
        let closes = self.breaker.as_mut().is_some_and(|breaker| breaker.saw(seen, is_probe, now));
        if closes {
            self.ramp.iter_mut().for_each(Ramp::arm);
        }
        closes
    }

    /// A message is done with.
    pub fn forget(&mut self, identity: Option<Identity>) {
        if let (Some(breaker), Some(identity)) = (&mut self.breaker, identity) {
            breaker.forget(identity);
        }
    }

    /// Whether it is looked for the age of what comes.
    pub fn looks_at_ages(&self) -> bool {
        self.limit.is_some() && self.ramp.as_ref().is_some_and(Ramp::looks)
    }

    /// The oldest of what has come was published then.
    pub fn saw_published(&mut self, published_ms: u64, now: Time) {
        let age = self.origin_ms.saturating_add(now.0).saturating_sub(published_ms);
        self.ramp.iter_mut().for_each(|ramp| ramp.saw(age, now));
        self.turn(now);
    }

    /// How many are worth to be held that wait to be started: as many as will be for a while.
    pub fn worth(&self, is_in_work: impl FnOnce(u64) -> bool) -> usize {
        if self.is_half_open() {
            return usize::from(self.may_start_one(is_in_work));
        }
        let of_rate = |limit: &Limit| limit.now.burst + limit.now.per_second * HELD_MS / 1_000.0;
        let worth = self.limit.as_ref().map(|limit| crate::number::whole(of_rate(limit).ceil()));
        worth.map_or(usize::MAX, |worth| usize::try_from(worth).unwrap_or(usize::MAX).max(1))
    }

    /// When it is to be looked again.
    pub fn next(&self) -> Option<Time> {
        let limit = self.limit.as_ref().filter(|_| self.limited_since.is_some());
        let tokens = limit.and_then(|limit| limit.bucket.next(limit.now));
        let key = self.keys.as_ref().and_then(KeyLimits::next);
        let breaker = self.breaker.as_ref().and_then(Breaker::next);
        tokens.into_iter().chain(key).chain(breaker).min()
    }

    pub fn status(&self) -> FlowStatus {
        let breaker = self.breaker.as_ref();
        let is_less = |limit: &Limit| limit.now.per_second < limit.full.per_second;
        FlowStatus {
            paused: self.steering.paused,
            paused_partitions: self.steering.paused_partitions.len() as u64,
            breaker: self.breaker_state(),
            opened: breaker.map_or(0, Breaker::opened),
            excused: breaker.map_or(0, Breaker::excused),
            limited_ms: self.limited_ms,
            limited_keys: self.keys.as_ref().map_or(0, |keys| keys.waiting() as u64),
            forgotten_keys: self.keys.as_ref().map_or(0, KeyLimits::forgotten),
            rate: self.limit.as_ref().map(|limit| limit.now.per_second),
            ramping: self.limit.as_ref().is_some_and(is_less),
        }
    }
}
