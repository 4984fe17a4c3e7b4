//! A pipeline's handler: its component, its limits, and how a new version of it comes in.

use super::{DAY, MIB};
use crate::oci::Reference;
use crate::settings::Section;
use pelton_core::number::millis;
use pelton_core::rollout::{JudgeAfter, Plan, SHARE};
use pelton_core::units;
use pelton_host::{HandlerSpec, Isolation, Protocol};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A handler.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerConfig {
    pub component: Component,
    pub spec: HandlerSpec,
    pub reload: Reload,
    /// None: a new version takes all messages at once.
    pub rollout: Option<Plan>,
    /// Files of public keys, one of which must have signed a version. None: unsigned ones are taken.
    pub keys: Vec<PathBuf>,
}

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// A file; or a folder in the OCI image layout, perhaps with `:TAG` or `@DIGEST` behind it.
    File(PathBuf),
    /// In a registry.
    Oci(Reference),
}

impl Component {
    /// As it is written; paths are relative to `base`. `Err` goes on where the text stops.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if Reference::is_meant(text) {
            return Reference::parse(text).map(Self::Oci);
        }
        Ok(Self::File(base.join(text)))
    }

    /// As it is named on a command line: a path may be no text.
    pub fn named(word: &OsStr) -> Result<Self, String> {
        word.to_str().map_or_else(|| Ok(Self::File(word.into())), |text| Self::parse(text, Path::new("")))
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Oci(reference) => write!(f, "{reference}"),
        }
    }
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
pub const TRIAL: Plan = Plan {
    share: 0.05,
    judge_after: JudgeAfter::Messages(200),
    max_increase: 0.02,
    faults: 1,
    shadow: false,
    at_most_ms: 86_400_000,
};

/// Instances side by side where handlers wait for answers of others, and nothing else is said.
const WAITING: usize = 16;

/// Reads the section `handler` of a pipeline. `waits` says that it may do HTTP or run statements.
pub fn handler(section: Section<'_>, base: &Path, waits: bool) -> HandlerConfig {
    let defaults = HandlerSpec::default();
    let concurrency = if waits { WAITING } else { defaults.concurrency };
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
        concurrency: section.number("concurrency", 1..=1_024, concurrency),
        max_chunk: section.number("max_batch", 1..=10_000, defaults.max_chunk),
        log_bytes_per_second: section.size("log_rate", defaults.log_bytes_per_second),
        ..defaults
    };
    let component = component.unwrap_or_default();
    let component = Component::parse(&component, base).unwrap_or_else(|why| {
        section.problem("component", format!("is `{component}`, which {why}"));
        Component::File(PathBuf::new())
    });
    let in_registry = matches!(component, Component::Oci(_));
    // A pinned file is not to change by itself.
    let reload = section.word(
        "reload",
        &[("watch", Reload::Watch), ("manual", Reload::Manual)],
        if spec.digest.is_some() || in_registry { Reload::Manual } else { Reload::Watch },
    );
    if in_registry && reload == Reload::Watch {
        section.problem(
            "reload",
            "is `watch`, and the component is in a registry, which is not watched; \
            leave it out, and use `pelton deploy`",
        );
    }
    if section.is_empty_list("require_signature") {
        section.problem(
            "require_signature",
            "is an empty list, by which anything would be taken; name a key, or leave it out",
        );
    }
    let keys = section.texts("require_signature").iter().map(|key| base.join(key)).collect();
    let rollout = section.has("rollout").then(|| rollout(section.section("rollout")));
    section.finish();
    HandlerConfig { component, spec, reload, rollout, keys }
}

fn rollout(section: Section<'_>) -> Plan {
    let shadow = section.flag("shadow", false);
    let at_most = section.duration("at_most", DAY);
    let plan = Plan {
        shadow,
        at_most_ms: millis(at_most),
        // Copies may be made of all.
        share: section.real("canary", if shadow { *SHARE.start()..=1.0 } else { SHARE }, TRIAL.share),
        judge_after: section.parsed("judge_after", JUDGE_AFTER, judge_after).unwrap_or(TRIAL.judge_after),
        max_increase: section.real("max_failure_increase", 0.0..=1.0, TRIAL.max_increase),
        faults: section.number("traps", 1..=1_000_000, 1),
    };
    let too_short = match plan.judge_after {
        JudgeAfter::Millis(ms) => plan.at_most_ms <= ms,
        JudgeAfter::Messages(_) => plan.at_most_ms < 1_000,
    };
    if too_short {
        section.problem(
            "at_most",
            "must be at least 1s, and longer than `judge_after`; by then a trial \
            that could not be judged is given up",
        );
    }
    section.finish();
    plan
}

/// How the end of a trial is written, for the reader of an error.
const JUDGE_AFTER: &str = "\"200 messages\" or a duration such as \"10m\"";

/// `200 messages`, or a duration.
fn judge_after(text: &str) -> Option<JudgeAfter> {
    if let Some(count) = text.strip_suffix("messages") {
        return count.trim().parse().ok().filter(|n| *n > 0).map(JudgeAfter::Messages);
    }
    Some(millis(units::duration(text)?)).filter(|ms| *ms > 0).map(JudgeAfter::Millis)
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
