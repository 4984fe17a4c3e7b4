//! A pipeline's handler: its component, its limits, and how a new version of it comes in.

use super::checked::{DAY, MIB};
use super::section::Section;
use super::units;
use pelton_core::rollout::{JudgeAfter, Plan};
use pelton_host::{HandlerSpec, Isolation, Protocol};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A handler.
#[derive(Debug, Clone)]
pub struct HandlerConfig {
    pub component: PathBuf,
    pub spec: HandlerSpec,
    pub reload: Reload,
    /// None: a new version takes all messages at once.
    pub rollout: Option<Plan>,
    /// Files of public keys, one of which must have signed a version. None: unsigned ones are taken.
    pub keys: Vec<PathBuf>,
}

/// What makes a worker look for a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The file, when it changes.
    Watch,
    /// A command.
    Manual,
}

/// How a new version is tried out where nothing else is said.
pub const TRIAL: Plan =
    Plan { share: 0.05, judge_after: JudgeAfter::Messages(200), max_increase: 0.02, faults: 1 };

/// Reads the section `handler` of a pipeline.
pub fn handler(section: Section<'_>, base: &Path) -> HandlerConfig {
    let defaults = HandlerSpec::default();
    let component = section.text("component").filter(|c| !c.is_empty());
    if component.is_none() && !section.has("component") {
        section.problem(
            "component",
            "is missing; write the path of the handler's component, such as \"plugins/orders.wasm\"",
        );
    }
    let digest = section.text("digest");
    let is_digest = |d: &str| {
        d.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if digest.as_deref().is_some_and(|d| !is_digest(d)) {
        section.problem(
            "digest",
            "must be `sha256:` and 64 hexadecimal digits; `pelton check` prints a component's",
        );
    }
    let timeout = section.duration("timeout", defaults.timeout);
    if timeout < Duration::from_millis(1) || timeout > DAY {
        section.problem("timeout", "must be from 1ms to 1d");
    }
    let memory = section.size("memory", defaults.memory);
    if !(64 << 10..=4096 * MIB).contains(&memory) {
        section.problem("memory", "must be from 64KiB to 4GiB");
    }
    let isolations =
        [("reuse", Isolation::Reuse), ("batch", Isolation::Batch), ("message", Isolation::Message)];
    let protocols = Protocol::ALL.map(|protocol| (protocol.word(), Some(protocol)));
    let spec = HandlerSpec {
        protocol: section.word("protocol", &protocols, None),
        digest: digest.map(|d| d.to_ascii_lowercase()),
        timeout,
        memory,
        isolation: section.word("isolation", &isolations, defaults.isolation),
        concurrency: section.number("concurrency", 1..=1_024, defaults.concurrency as u64) as usize,
        max_chunk: section.number("max_batch", 1..=10_000, defaults.max_chunk as u64) as usize,
        log_bytes_per_second: section.size("log_rate", defaults.log_bytes_per_second),
        ..defaults
    };
    // A pinned file is not to change by itself.
    let reload = section.word(
        "reload",
        &[("watch", Reload::Watch), ("manual", Reload::Manual)],
        if spec.digest.is_some() { Reload::Manual } else { Reload::Watch },
    );
    let keys = section.texts("require_signature").iter().map(|key| base.join(key)).collect();
    let rollout = section.has("rollout").then(|| rollout(section.section("rollout")));
    section.finish();
    HandlerConfig { component: base.join(component.unwrap_or_default()), spec, reload, rollout, keys }
}

fn rollout(section: Section<'_>) -> Plan {
    let plan = Plan {
        share: section.real("canary", SHARE, TRIAL.share),
        judge_after: section.judge_after("judge_after", TRIAL.judge_after),
        max_increase: section.real("max_failure_increase", 0.0..=1.0, TRIAL.max_increase),
        faults: section.number("traps", 1..=1_000_000, 1) as u32,
    };
    section.finish();
    plan
}

/// The part of the messages that a version on trial may have: the old one has at least as many.
pub const SHARE: std::ops::RangeInclusive<f64> = 0.0001..=0.5;

/// `200 messages`, or a duration.
pub fn judge_after(text: &str) -> Option<JudgeAfter> {
    if let Some(count) = text.strip_suffix("messages") {
        return count.trim().parse().ok().filter(|n| *n > 0).map(JudgeAfter::Messages);
    }
    let millis = units::duration(text)?.as_millis();
    u64::try_from(millis).ok().filter(|ms| *ms > 0).map(JudgeAfter::Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_ends_after_messages_or_a_time() {
        assert_eq!(judge_after("200 messages"), Some(JudgeAfter::Messages(200)));
        assert_eq!(judge_after("10m"), Some(JudgeAfter::Millis(600_000)));
        for bad in ["200", "0 messages", "some messages", "0s", "-1 messages"] {
            assert_eq!(judge_after(bad), None, "{bad}");
        }
    }
}
