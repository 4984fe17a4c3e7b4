//! A new version of a handler on trial: which messages it gets, and when it has passed or failed.
//!
//! The old and the new version are compared by the share of first attempts that fail. Later attempts say
//! little: what failed before fails again, on either side. The difference counts when it is larger than
//! what is allowed *and* larger than luck: Fisher's exact test, one-sided, is asked when the new version
//! has had 8, 16, 32 ... messages and at the end. Every look has a chance of its own to be misled, so the
//! i-th may be wrong once in `20 i (i + 1)`: all of them together once in 20.

use crate::message::{Lane, Message};
use crate::retry::scatter;
use std::ops::RangeInclusive;

/// How often a version that is no worse may be sent back, over all looks together.
const LUCK: f64 = 0.05;
/// Messages of the new version before anything is said of its failures. Faults are not waited for.
const FIRST_LOOK: u64 = 8;

/// The part of the messages that a version on trial may have: the old one has at least as many.
pub const SHARE: RangeInclusive<f64> = 0.0001..=0.5;

/// How a new version is tried out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The part of the messages (of the lanes, where order matters) that it gets; above 0, at most a half.
    pub share: f64,
    /// When it is judged for good.
    pub judge_after: JudgeAfter,
    /// How much larger the part of failed first attempts may be than that of the old version.
    pub max_increase: f64,
    /// So many traps, timeouts and other faults at first attempts send it back at once.
    pub faults: u32,
    /// It gets copies of what the old version has handled, and nothing that it says of them counts.
    pub shadow: bool,
    /// So many milliseconds after its begin it is sent back, if it could not be judged by then.
    pub at_most_ms: u64,
}

/// The end of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JudgeAfter {
    /// After so many first attempts on the new version.
    Messages(u64),
    /// After so many milliseconds, and at least one message.
    Millis(u64),
}

/// First attempts on one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideCounts {
    /// All of them.
    pub started: u64,
    /// Those that failed, faults included.
    pub failed: u64,
}

/// What is known of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The plan.
    pub plan: Plan,
    /// The new version's first attempts.
    pub canary: SideCounts,
    /// The old version's, meanwhile.
    pub stable: SideCounts,
    /// Faults of the new version.
    pub faults: u32,
    looks: u32,
    next_look: u64,
}

/// What is to become of the new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing yet.
    GoesOn,
    /// It takes all messages.
    Passed,
    /// The old version takes all messages again; why, in words.
    Failed(String),
}

impl SideCounts {
    fn rate(self) -> f64 {
        if self.started == 0 { 0.0 } else { self.failed as f64 / self.started as f64 }
    }
}

impl Trial {
    /// One that begins.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let (canary, stable) = (SideCounts::default(), SideCounts::default());
        Self { plan, canary, stable, faults: 0, looks: 0, next_look: FIRST_LOOK }
    }

    /// Whether a message goes to the new version: always the same answer for a lane, and else for a key or
    /// an id, so that order holds and a retry meets the same side. `salt` differs from trial to trial, that
    /// the same customers do not meet every new version first.
    #[must_use]
    pub fn takes(&self, lane: Option<Lane>, message: &Message, salt: u64) -> bool {
        let number = match (lane, message.key()) {
            (Some(lane), _) => lane.0,
            (None, Some(key)) => hash(key),
            (None, None) => hash(message.id().text().as_bytes()),
        };
        // The top 53 bits: as many as the share has.
        let place = (scatter(number, salt) >> 11) as f64 / (1u64 << 53) as f64;
        place < self.plan.share
    }

    /// What is to become of it, `elapsed_ms` after its begin.
    pub fn judge(&mut self, elapsed_ms: u64) -> Judgement {
        if self.faults >= self.plan.faults.max(1) {
            let faults = if self.faults == 1 { "trap or timeout" } else { "traps or timeouts" };
            return Judgement::Failed(format!("{} {faults}", self.faults));
        }
        let over = match self.plan.judge_after {
            JudgeAfter::Messages(count) => self.canary.started >= count,
            JudgeAfter::Millis(ms) => elapsed_ms >= ms && self.canary.started > 0,
        };
        let given_up = !over && elapsed_ms >= self.plan.at_most_ms;
        if !over && !given_up && self.canary.started < self.next_look {
            return Judgement::GoesOn;
        }
        self.looks += 1;
        self.next_look = self.canary.started.max(FIRST_LOOK / 2) * 2;
        if self.is_worse() {
            return Judgement::Failed(self.in_words());
        }
        match (over, given_up) {
            (true, _) => Judgement::Passed,
            (_, true) => Judgement::Failed(self.unjudged()),
            _ => Judgement::GoesOn,
        }
    }

    /// Why it could not be judged in its time.
    fn unjudged(&self) -> String {
        let wanted = match self.plan.judge_after {
            JudgeAfter::Messages(count) => format!("{count} are wanted"),
            JudgeAfter::Millis(_) => "at least one is wanted".to_owned(),
        };
        let (seconds, had) = (self.plan.at_most_ms / 1_000, self.canary.started);
        format!("it could not be judged within {seconds} s: it had {had} first attempts, and {wanted}")
    }

    /// Worse than is allowed, and by more than luck explains.
    fn is_worse(&self) -> bool {
        let look = f64::from(self.looks);
        self.canary.rate() - self.stable.rate() > self.plan.max_increase
            && chance(self.canary, self.stable) < LUCK / (look * (look + 1.0))
    }

    fn in_words(&self) -> String {
        let (canary, stable) = (self.canary, self.stable);
        format!(
            "{} of {} first attempts failed ({:.1} %), on the old version {} of {} ({:.1} %), and at most \
             {:.1} % more may be",
            canary.failed,
            canary.started,
            canary.rate() * 100.0,
            stable.failed,
            stable.started,
            stable.rate() * 100.0,
            self.plan.max_increase * 100.0
        )
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// How likely it is that so many of all failures, or more, fall on the first side by chance, were both equal:
/// the upper tail of the hypergeometric distribution.
fn chance(first: SideCounts, second: SideCounts) -> f64 {
    let failures = first.failed + second.failed;
    let all = first.started + second.started;
    let most = first.started.min(failures);
    let total = ln_choose(all, first.started);
    let mut sum = 0.0;
    for k in first.failed..=most {
        // Fewer good ones than must fall on the first side cannot be.
        if first.started - k > all - failures {
            continue;
        }
        let term = (ln_choose(failures, k) + ln_choose(all - failures, first.started - k) - total).exp();
        sum += term;
        // Beyond the mode the terms fall ever faster.
        if term < sum * 1e-12 {
            break;
        }
    }
    sum.min(1.0)
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Exact for small numbers, Stirling's series with an error below 1e-9 for others.
fn ln_factorial(n: u64) -> f64 {
    if n < 20 {
        return (2..=n).map(|i| (i as f64).ln()).sum();
    }
    let x = n as f64;
    let tail = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3));
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Parts;

    fn tally(failed: u64, started: u64) -> SideCounts {
        SideCounts { started, failed }
    }

    fn trial(canary: SideCounts, stable: SideCounts) -> Trial {
        let judge_after = JudgeAfter::Messages(200);
        let plan = Plan {
            share: 0.05,
            judge_after,
            max_increase: 0.02,
            faults: 1,
            shadow: false,
            at_most_ms: 60_000,
        };
        Trial { canary, stable, ..Trial::new(plan) }
    }

    #[test]
    fn the_chance_is_that_of_fishers_tables() {
        // The lady who tastes tea, and exact fractions for the others.
        assert!((chance(tally(3, 4), tally(1, 4)) - 0.242_857_142_857).abs() < 1e-9);
        assert!((chance(tally(8, 10), tally(2, 15)) - 0.001_491_697_157).abs() < 1e-9);
        assert_eq!(chance(tally(0, 10), tally(0, 1_000)), 1.0);
        assert!(chance(tally(6, 200), tally(0, 3_800)) < 1e-7);
    }

    #[test]
    fn a_version_as_good_as_the_old_one_passes() {
        assert_eq!(trial(tally(0, 199), tally(0, 4_000)).judge(0), Judgement::GoesOn);
        assert_eq!(trial(tally(0, 200), tally(0, 4_000)).judge(0), Judgement::Passed);
        // Both are hit by the same outage.
        assert_eq!(trial(tally(100, 200), tally(2_000, 4_000)).judge(0), Judgement::Passed);
    }

    #[test]
    fn a_worse_one_fails_as_soon_as_luck_does_not_explain_it() {
        assert_eq!(trial(tally(1, 8), tally(0, 150)).judge(0), Judgement::GoesOn, "one may be luck");
        let Judgement::Failed(why) = trial(tally(4, 8), tally(0, 150)).judge(0) else {
            panic!("half of them failed")
        };
        assert!(why.starts_with("4 of 8 first attempts failed (50.0 %)"), "{why}");
        // Worse by more than luck, and by less than is allowed.
        assert_eq!(trial(tally(30, 2_000), tally(0, 38_000)).judge(0), Judgement::Passed);
    }

    #[test]
    fn a_fault_is_not_waited_for() {
        let mut trial = trial(tally(1, 1), tally(0, 0));
        trial.faults = 1;
        assert_eq!(trial.judge(0), Judgement::Failed("1 trap or timeout".to_owned()));
    }

    #[test]
    fn a_trial_by_time_waits_for_a_message() {
        let mut trial = trial(tally(0, 0), tally(0, 10));
        trial.plan.judge_after = JudgeAfter::Millis(50);
        assert_eq!(trial.judge(60), Judgement::GoesOn);
        trial.canary = tally(0, 1);
        assert_eq!(trial.judge(49), Judgement::GoesOn);
        assert_eq!(trial.judge(50), Judgement::Passed);
    }

    #[test]
    fn a_trial_that_comes_to_nothing_ends_in_time_and_says_so() {
        let mut few = trial(tally(0, 3), tally(0, 60));
        assert_eq!(few.judge(59_999), Judgement::GoesOn);
        let Judgement::Failed(why) = few.judge(60_000) else { panic!("it is over") };
        assert_eq!(why, "it could not be judged within 60 s: it had 3 first attempts, and 200 are wanted");
        let mut none = trial(tally(0, 0), tally(0, 60));
        none.plan.judge_after = JudgeAfter::Millis(50);
        assert!(matches!(none.judge(60_000), Judgement::Failed(why) if why.contains("at least one")));
        // Enough is enough, however late.
        assert_eq!(trial(tally(0, 200), tally(0, 60)).judge(60_000), Judgement::Passed);
    }

    /// A version that is no worse is sent back less often than once in twenty, however often it is looked at.
    #[test]
    fn luck_is_bounded() {
        let mut sent_back = 0;
        for seed in 0..400 {
            let mut trial = trial(SideCounts::default(), SideCounts::default());
            trial.plan.max_increase = 0.0;
            let mut verdict = Judgement::GoesOn;
            let mut draw = 0;
            while verdict == Judgement::GoesOn {
                draw += 1;
                let random = scatter(seed * 1_000_003, draw);
                let side = if random.is_multiple_of(5) { &mut trial.canary } else { &mut trial.stable };
                side.started += 1;
                side.failed += u64::from((random >> 32).is_multiple_of(10));
                verdict = trial.judge(0);
            }
            sent_back += u32::from(verdict != Judgement::Passed);
        }
        assert!(sent_back <= 20, "{sent_back} of 400");
    }

    #[test]
    fn the_share_is_kept_and_a_lane_stays_on_its_side() {
        let trial = trial(SideCounts::default(), SideCounts::default());
        let message = |id: u64| Message::new(Parts::named(&id.to_string()));
        let taken = (0..20_000).filter(|id| trial.takes(None, &message(*id), 7)).count();
        assert!((800..1_200).contains(&taken), "{taken}");
        for lane in (0..100).map(Lane) {
            let sides: Vec<bool> = (0..5).map(|id| trial.takes(Some(lane), &message(id), 7)).collect();
            assert!(sides.iter().all(|s| *s == sides[0]));
        }
    }
}
