//! How fast a pipeline may start messages, and when it starts none.

use super::DAY;
use crate::settings::Section;
use pelton_core::flow::{CircuitBreaker, FlowRules, RampUp, Rate};
use pelton_core::number::{millis, whole};
use pelton_core::units;
use std::time::Duration;

/// What the breaker looks at, where nothing else is said: starts of so long, or of more where they may take
/// longer.
const WINDOW: Duration = Duration::from_secs(10);
/// A burst is at least what comes in a hundredth of a second: more often the worker does not look.
const SHORTEST_BURST: f64 = 0.01;

/// Reads the section `flow` of a pipeline, whose handler has this timeout and so many instances.
pub fn flow(section: Section<'_>, timeout: Duration, concurrency: usize) -> FlowRules {
    let rates_section = section.section("rate");
    let has_rate = rates_section.has("max");
    let (rate, per_key) = rates(rates_section);
    let ramp_up = section.has("ramp_up").then(|| ramp_up(section.section("ramp_up")));
    if ramp_up.is_some() && !has_rate {
        section.problem("ramp_up", "needs a rate that it grows to: write rate = { max = \"500/s\" } too");
    }
    let breaks = section.has("circuit_breaker");
    let breaker = breaks.then(|| breaker(section.section("circuit_breaker"), timeout, concurrency));
    section.finish();
    FlowRules { rate, per_key, ramp_up, breaker, origin_ms: 0 }
}

fn rates(section: Section<'_>) -> (Option<Rate>, Option<Rate>) {
    let max = section.parsed("max", units::RATE, units::rate).map(Rate::of);
    let per_key = section.parsed("per_key", units::RATE, units::rate).map(Rate::of);
    let burst: u32 = section.number("burst", 1..=1_000_000, 1);
    let has_burst = section.has("burst");
    if has_burst && !section.has("max") {
        section.problem("burst", "is what a rate allows at once: write `max` too, such as max = \"500/s\"");
    }
    if let Some(max) = max.filter(|max| has_burst && f64::from(burst) < max.per_second * SHORTEST_BURST) {
        let least = whole((max.per_second * SHORTEST_BURST).ceil());
        section.problem(
            "burst",
            format!("is {burst}, which would keep the rate below `max`: it must be at least {least}"),
        );
    }
    section.finish();
    let rate = max.map(|max| if has_burst { Rate { burst: f64::from(burst), ..max } } else { max });
    (rate, per_key)
}

fn ramp_up(section: Section<'_>) -> RampUp {
    let over = section.duration("over", Duration::from_secs(300));
    if over < Duration::from_secs(1) || over > DAY {
        section.problem("over", "must be from 1s to 1d");
    }
    let ramp_up = RampUp {
        over_ms: millis(over),
        from: section.real("from", 0.01..=1.0, 0.1),
        outage_after_ms: millis(section.duration("outage_after", Duration::from_secs(120))),
    };
    section.finish();
    ramp_up
}

fn breaker(section: Section<'_>, timeout: Duration, concurrency: usize) -> CircuitBreaker {
    let minimum: u64 = section.number("minimum", 1..=1_000_000, 20);
    let all_time_out = slowest(timeout, minimum, concurrency);
    let window = section.duration("window", WINDOW.max(all_time_out.saturating_mul(2)).min(DAY));
    if window < Duration::from_secs(1) || window > DAY {
        section.problem("window", "must be from 1s to 1d");
    }
    let open_for = section.duration("open_for", Duration::from_secs(30));
    if open_for < Duration::from_millis(100) || open_for > DAY {
        section.problem("open_for", "must be from 100ms to 1d");
    }
    let breaker = CircuitBreaker {
        failure_rate: section.real("failure_rate", 0.01..=1.0, 0.5),
        minimum,
        window_ms: millis(window),
        open_ms: millis(open_for),
    };
    section.finish();
    breaker
}

/// How long so many starts take, if all of them come to their time limit.
pub fn slowest(timeout: Duration, minimum: u64, concurrency: usize) -> Duration {
    let each = u32::try_from(minimum.div_ceil(concurrency.max(1) as u64)).unwrap_or(u32::MAX);
    timeout.saturating_mul(each)
}
