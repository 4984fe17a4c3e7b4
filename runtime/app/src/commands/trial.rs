//! How a trial of a new version goes, for people.

use crate::control::protocol::{Difference, Starts, Trial};
use crate::deploy::rollout::percent;

/// A trial whose end is waited for, as it was shown last.
pub struct Shown<'p> {
    pipeline: &'p str,
    last: Option<Trial>,
    /// It was said that no message comes.
    waits: bool,
}

impl<'p> Shown<'p> {
    pub fn new(pipeline: &'p str) -> Self {
        Self { pipeline, last: None, waits: false }
    }

    /// Shows what has changed. The worker tells it again now and then when nothing does.
    pub fn show(&mut self, now: Trial) {
        if self.last.as_ref() != Some(&now) {
            say!("{}", in_words(&now));
        } else if now.canary.started == 0 && !std::mem::replace(&mut self.waits, true) {
            let name = self.pipeline;
            say!(
                "no message has come to the new version yet, and the trial goes on until some have. \
                 `pelton rollback {name}` ends it; to end this command ends the waiting alone"
            );
        }
        self.last = Some(now);
    }
}

/// How it stands.
fn in_words(trial: &Trial) -> String {
    let side = |Starts { started, failed }| format!("{failed} of {started} failed");
    let share = percent(trial.share);
    match &trial.shadow {
        Some(difference) => {
            format!("in the shadow (copies of {share}): {}", difference_in_words(difference))
        }
        None => {
            format!("new version ({share}): {}; old version: {}", side(trial.canary), side(trial.stable))
        }
    }
}

/// How a version in the shadow differs from the one in use.
pub fn difference_in_words(difference: &Difference) -> String {
    let pace = match difference.slower_percent {
        Some(percent) if percent < 0.0 => format!(", faster by {:.1} %", -percent),
        Some(percent) => format!(", slower by {percent:.1} %"),
        None => String::new(),
    };
    let first = difference.first.as_ref().map(|first| format!(" ({first})")).unwrap_or_default();
    let Difference { agreed, differed, dropped, refused, .. } = difference;
    let refused = match refused {
        0 => String::new(),
        some => format!(", {some} were refused a request that a shadow may not make"),
    };
    format!("{agreed} agreed, {differed} differed{first}, {dropped} could not be followed{refused}{pace}")
}
