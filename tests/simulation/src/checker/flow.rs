//! Rules of flow: no window has more starts than the rate allows, of the pipeline (17) and of a key (18).
//! Nothing is asked for or started while it is paused (19), or while its breaker is open (20). What fails
//! then is no attempt, and any other failure is one (21).

use super::Checker;
use crate::world::World;
use pelton_core::flow::{FlowRules, MAX_EXCUSES, Rate, Steering};
use pelton_core::outcome::Outcome;
use std::collections::BTreeMap;

/// Probes in a row after which a breaker is closed.
const CLOSES_AFTER: u32 = 10;

/// A claim.
#[derive(Debug, Clone, Copy)]
struct Claimed {
    at: u64,
    n: usize,
    chunk: u64,
    /// Of a suspect, which is not kept waiting for a token; or from before another rate.
    uncounted: bool,
}

/// What one life of a pipeline has started, as far as flow goes.
#[derive(Debug, Default)]
pub struct FlowBook {
    claims: Vec<Claimed>,
    /// Claims that were answered, until it is seen what of them starts.
    answered: Vec<Claimed>,
    /// Claims of which nothing came, by when their tokens were free again.
    returned: Vec<(u64, usize)>,
    steering: Steering,
    breaker: Breaker,
    excuses: BTreeMap<usize, u32>,
    /// Whether the last failure of a message is no attempt.
    excused: BTreeMap<usize, bool>,
}

#[derive(Debug, Default)]
struct Breaker {
    well: u64,
    failed: u64,
    /// Open until then, or half-open since.
    until: Option<u64>,
    probes: u32,
    probe: Option<u64>,
}

impl Checker {
    /// An operator wants something else.
    pub fn steered(&mut self, steering: Steering) {
        if self.flow.steering.rate != steering.rate {
            let before = self.flow.claims.iter_mut().chain(&mut self.flow.answered);
            before.for_each(|claim| claim.uncounted = true);
        }
        self.flow.steering = steering;
    }

    /// The core asks for more.
    pub fn asks(&mut self, now: u64) {
        if self.flow.steering.paused {
            self.broken(19, "more is asked for while it is paused".to_owned());
        }
        if self.flow.breaker.until.is_some_and(|until| now < until) {
            self.broken(20, "more is asked for while the breaker is open".to_owned());
        }
    }

    /// The core claims these in a chunk.
    pub fn begins(&mut self, world: &World, chunk: u64, items: &[usize], alone: bool, now: u64) {
        let partition_is_paused = !self.flow.steering.paused_partitions.is_empty();
        if self.flow.steering.paused || (partition_is_paused && world.shape.caps.cumulative) {
            self.broken(19, format!("chunk {chunk} is started while it is paused"));
        }
        if let Some(until) = self.flow.breaker.until {
            let is_probe = now >= until && items.len() == 1 && self.flow.breaker.probe.is_none();
            if !is_probe {
                self.broken(20, format!("chunk {chunk} is started, and the breaker is not closed"));
            }
            self.flow.breaker.probe = Some(chunk);
        }
        self.flow.claims.extend(items.iter().map(|n| Claimed { at: now, n: *n, chunk, uncounted: alone }));
        if !alone {
            self.check_rates(world, items, now);
        }
    }

    fn check_rates(&mut self, world: &World, items: &[usize], now: u64) {
        let FlowRules { rate, per_key, .. } = world.shape.flow.clone();
        let wanted = self.flow.steering.rate.map(|per_second| match rate {
            Some(rate) => rate.at(per_second),
            None => Rate::of(per_second),
        });
        if let Some(rate) = wanted.or(rate)
            && let Some(what) = self.flow.too_many(rate, now, |_| true)
        {
            self.broken(17, what);
        }
        let Some(rate) = per_key else { return };
        let key = |n: usize| world.sent[n].message.key();
        for n in items.iter().filter(|n| key(**n).is_some()) {
            if let Some(what) = self.flow.too_many(rate, now, |m| key(m) == key(*n)) {
                self.broken(18, format!("of the key of m{n}: {what}"));
            }
        }
    }

    /// The core learns what the ledger says of a chunk.
    pub fn claim_is_answered(&mut self, chunk: u64) {
        let is_of_it = |claim: &mut Claimed| claim.chunk == chunk;
        self.flow.answered.extend(self.flow.claims.extract_if(.., is_of_it));
    }

    /// What of a chunk starts.
    pub fn starts(&mut self, chunk: u64, granted: &[usize], now: u64) {
        let is_of_it = |claim: &mut Claimed| claim.chunk == chunk;
        let answered: Vec<Claimed> = self.flow.answered.extract_if(.., is_of_it).collect();
        let (started, returned): (Vec<_>, Vec<_>) =
            answered.into_iter().partition(|claim| granted.contains(&claim.n));
        self.flow.returned.extend(returned.into_iter().map(|claim| (now, claim.n)));
        self.flow.claims.extend(started);
        self.flow.claims.sort_by_key(|claim| claim.at);
    }

    /// A chunk is over, or nothing of it starts.
    pub fn chunk_ends(&mut self, chunk: u64, now: u64) {
        self.starts(chunk, &[], now);
        if self.flow.breaker.probe == Some(chunk) {
            self.flow.breaker.probe = None;
        }
    }

    /// The core learns how a start has ended; whether that is no attempt.
    pub fn outcome_is_told(
        &mut self,
        world: &World,
        chunk: u64,
        n: usize,
        outcome: &Outcome,
        now: u64,
    ) -> bool {
        if matches!(outcome, Outcome::NotStarted) {
            self.flow.claims.retain(|claim| (claim.n, claim.chunk) != (n, chunk));
            self.flow.returned.push((now, n));
        }
        let Some(rules) = world.shape.flow.breaker else { return false };
        let failed = match outcome {
            Outcome::Retry { .. } => true,
            Outcome::Ok(_) | Outcome::Reject { .. } => false,
            _ => return false,
        };
        let (breaker, excuses) = (&mut self.flow.breaker, self.flow.excuses.entry(n).or_default());
        let excused = failed && breaker.until.is_some() && *excuses < MAX_EXCUSES;
        *excuses += u32::from(excused);
        if failed {
            self.flow.excused.insert(n, excused);
        }
        let is_probe = breaker.probe == Some(chunk) && breaker.until.is_some_and(|until| now >= until);
        match (breaker.until, failed) {
            (None, _) => {
                (breaker.well, breaker.failed) =
                    (breaker.well + u64::from(!failed), breaker.failed + u64::from(failed));
                let all = breaker.well + breaker.failed;
                let rate = breaker.failed as f64 / all as f64;
                if failed && all >= rules.minimum && rate >= rules.failure_rate {
                    *breaker = Breaker { until: Some(now + rules.open_ms), ..Breaker::default() };
                }
            }
            (Some(_), true) if is_probe => {
                breaker.until = Some(now + rules.open_ms);
                breaker.probes = 0;
            }
            (Some(_), false) if is_probe => {
                breaker.probes += 1;
                if breaker.probes >= CLOSES_AFTER {
                    *breaker = Breaker::default();
                }
            }
            (Some(_), _) => {}
        }
        excused
    }

    /// A claim is released.
    pub fn released(&mut self, world: &World, n: usize, counts: bool) {
        // What was staged ahead of a message may be the reason that it has failed. And what has a key in
        // common with another is excused with it.
        let is_alone = world.of_identity(world.sent[n].identity).count() == 1;
        let known = self.flow.excused.remove(&n).filter(|_| is_alone && !world.shape.effects);
        if known.is_some_and(|excused| counts == excused) {
            let what = if counts { "counts, while the breaker is not closed" } else { "does not count" };
            self.broken(21, format!("a failure of m{n} {what}"));
        }
    }
}

impl FlowBook {
    /// Whether some window that ends now has more claims than a rate allows, and tokens came back.
    fn too_many(&self, rate: Rate, now: u64, of: impl Fn(usize) -> bool) -> Option<String> {
        let counts = |claim: &&Claimed| !claim.uncounted && of(claim.n);
        let all: Vec<u64> = self.claims.iter().filter(counts).map(|claim| claim.at).collect();
        all.iter().enumerate().find_map(|(place, from)| {
            let (count, window) = (all.len() - place, now - from);
            let returned = self.returned.iter().filter(|(at, n)| at >= from && of(*n)).count();
            let most = rate.burst + returned as f64 + window as f64 * rate.per_second / 1_000.0;
            (count as f64 > most + 0.001)
                .then(|| format!("{count} are started within {window} ms, and {most} may be"))
        })
    }
}
