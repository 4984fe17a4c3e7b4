//! The numbers of one pipeline.

use super::counted;
use super::messaging::OfPipeline;
use crate::telemetry::metrics::{Label, Name, Totals, Value, Values, operation_word};
use crate::telemetry::time::now_ms;
use crate::worker::state::RunningPipeline;
use pelton_core::flow::BreakerState;
use pelton_core::ports::OperationKind;
use pelton_core::{Cause, Counter};
use pelton_engine::{FailureKind, Role};
use pelton_host::Host;

/// Adds them all.
pub fn add(values: &mut Values, host: &Host, live: &RunningPipeline, partitions: bool) {
    let of = OfPipeline::new(&live.pipeline);
    observed(values, &of, live);
    counters(values, &of, live);
    held(values, &of, live);
    sampled(values, &of, live);
    if partitions {
        each_partition(values, &of, live);
    }
    flow(values, &of, live);
    outbox(values, &of, live);
    versions(values, &of, live);
    let (name, ports) = (&live.pipeline.name, &live.ports);
    let room = host.room_need(name);
    counted::limit(values, &of, "instances", room.waited);
    let all = ports.source.counted().into_iter().chain(ports.letters.counted());
    let all = all.chain(ports.decoder.iter().flat_map(|decoder| decoder.counted()));
    let all = all.chain(host.http_counts(name).named()).chain(host.effect_counts(name).named());
    counted::add(values, &of, all);
}

/// What was counted right where it happened.
fn observed(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    const PROCESS: (Label, &str) = (Label::OPERATION, "process");
    for (word, all) in live.observed.process() {
        let failed = word.map(|word| (Label::ERROR, word));
        let labels: Vec<_> = std::iter::once(PROCESS).chain(failed).collect();
        values.add(Name::ProcessDuration, &of.messaging, &labels, Value::Histogram(all));
        if let Some(limit) = word.filter(|word| matches!(*word, "timeout" | "memory")) {
            counted::limit(values, of, limit, all.count());
        }
    }
    for (kind, word, all) in live.observed.operations() {
        operation(values, of, kind, word, all);
    }
    let receive = of.operation(OperationKind::Receive).unwrap_or_default();
    let labels = [(Label::OPERATION, receive)];
    values.count(Name::ConsumedMessages, &of.messaging, &labels, live.observed.received());
}

fn operation(
    values: &mut Values,
    of: &OfPipeline,
    kind: OperationKind,
    word: Option<&'static str>,
    all: Totals,
) {
    let (name, base, own) = match of.operation(kind) {
        Some(word) => (Name::OperationDuration, &of.messaging, Some((Label::OPERATION, word))),
        None if kind == OperationKind::Decode => (Name::DecodeDuration, &of.own, None),
        None => (Name::LedgerDuration, &of.own, Some((Label::LEDGER_OPERATION, operation_word(kind)))),
    };
    let labels: Vec<_> = own.into_iter().chain(word.map(|word| (Label::ERROR, word))).collect();
    values.add(name, base, &labels, Value::Histogram(all));
}

/// Where a counter of the core is found.
fn name_of(counter: Counter) -> (Name, Option<Cause>) {
    match counter {
        Counter::Handled => (Name::Handled, None),
        Counter::Duplicates => (Name::Duplicates, None),
        Counter::Retries => (Name::Retries, None),
        Counter::Rejected => (Name::DeadLetters, Some(Cause::Rejected)),
        Counter::RetriesExhausted => (Name::DeadLetters, Some(Cause::RetriesExhausted)),
        Counter::CrashLoop => (Name::DeadLetters, Some(Cause::CrashLoop)),
        Counter::Invalid => (Name::DeadLetters, Some(Cause::Invalid)),
        Counter::OutboxRefused => (Name::DeadLetters, Some(Cause::Outbox)),
        Counter::WaitsCut => (Name::WaitsCut, None),
        Counter::Conflicts => (Name::Conflicts, None),
        // By their targets.
        Counter::OutboxSent => (Name::OutboxSent, None),
    }
}

fn counters(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    let counts = live.stats.counts();
    for (counter, number) in counts.counters.iter() {
        let (name, cause) = name_of(counter);
        if name != Name::OutboxSent {
            let cause = cause.map(|cause| (Label::CAUSE, cause.as_str()));
            values.count(name, &of.own, cause.as_slice(), number);
        }
    }
    values.count(Name::Elsewhere, &of.own, &[], counts.elsewhere);
    let outbox = counts.counters[Counter::OutboxRefused];
    let letters = counts.counters.dead_letters().saturating_sub(outbox);
    let labels = [(Label::OPERATION, "send"), (Label::TARGET, "dead letters")];
    values.count(Name::SentMessages, &of.own, &labels, letters);
}

fn held(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    let counts = live.stats.counts();
    values.add(Name::InFlight, &of.own, &[], Value::Whole(counts.in_flight));
    values.add(Name::Waiting, &of.own, &[], Value::Whole(counts.waiting));
    counted::flag(values, of, Name::HeldBack, counts.held_back);
    counted::flag(values, of, Name::Ready, live.trouble().is_none());
}

fn sampled(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    if let Some((backlog, age_ms)) = live.sampled.backlog() {
        values.add(Name::Backlog, &of.own, &[], Value::Whole(backlog));
        values.add(Name::OldestAge, &of.own, &[], Value::Real(age_ms as f64 / 1e3));
    }
    if let Some(letters) = live.sampled.letters() {
        values.add(Name::Letters, &of.own, &[], Value::Whole(letters));
    }
}

fn each_partition(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    for part in live.ports.source.partition_status() {
        let labels = [(Label::PARTITION, part.name.as_str())];
        values.bounded(Name::PartitionBehind, &of.own, &labels, Value::Whole(part.behind));
    }
}

fn flow(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    let flow = live.stats.flow();
    counted::flag(values, of, Name::Paused, flow.paused);
    if flow.paused_partitions > 0 {
        values.add(Name::PausedPartitions, &of.own, &[], Value::Whole(flow.paused_partitions));
    }
    if let Some(rate) = flow.rate {
        values.add(Name::RateLimit, &of.own, &[], Value::Real(rate));
        counted::flag(values, of, Name::RateRamping, flow.ramping);
    }
    if flow.limited_ms > 0 {
        values.add(Name::LimiterWait, &of.own, &[], Value::Real(flow.limited_ms as f64 / 1e3));
    }
    if flow.limited_keys > 0 {
        values.add(Name::LimiterKeys, &of.own, &[], Value::Whole(flow.limited_keys));
    }
    if let Some(breaker) = flow.breaker {
        let state = match breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        values.add(Name::BreakerState, &of.own, &[], Value::Whole(state));
        values.count(Name::BreakerOpened, &of.own, &[], flow.opened);
        values.count(Name::BreakerExcused, &of.own, &[], flow.excused);
    }
}

fn outbox(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    for outlet in live.stats.outlets() {
        let target = (Label::TARGET, &*outlet.name);
        values.count(Name::OutboxSent, &of.own, &[target], outlet.sent);
        values.count(Name::OutboxRefused, &of.own, &[target], outlet.refused);
        values.count(Name::SentMessages, &of.own, &[(Label::OPERATION, "send"), target], outlet.sent);
        values.bounded(Name::OutboxBacklog, &of.own, &[target], Value::Whole(outlet.backlog.rows));
        let since = outlet.backlog.oldest_at_ms.map_or(0, |at| now_ms().saturating_sub(at));
        values.bounded(Name::OutboxOldestAge, &of.own, &[target], Value::Real(since as f64 / 1e3));
    }
}

fn versions(values: &mut Values, of: &OfPipeline, live: &RunningPipeline) {
    let all = live.target.versions.all();
    let is_tried = all.iter().any(|(_, role, _)| *role == Role::Canary);
    for (digest, role, stats) in all {
        let state = match role {
            Role::Stable => "stable",
            Role::Canary => "canary",
            Role::Draining => "draining",
            Role::Gone => continue,
        };
        let digest = (Label::DIGEST, &*digest);
        values.bounded(Name::VersionInfo, &of.own, &[digest, (Label::STATE, state)], Value::Whole(1));
        if !is_tried || role == Role::Draining {
            continue;
        }
        let numbers = stats.numbers();
        values.count(Name::VersionHandled, &of.own, &[digest], numbers.handled);
        for ((_, word), failed) in FailureKind::ALL.iter().zip(numbers.failed) {
            values.count(Name::VersionFailed, &of.own, &[digest, (Label::ERROR, word)], failed);
        }
    }
}
