//! What the program works with: every value there, in its own type, within its bounds.

use super::admin::{AdminConfig, admin};
use super::databases::{HomeConfig, databases};
use super::decode::{DecodeConfig, decode};
use super::flow::flow;
use super::grants::{GrantsConfig, Nameable, StoreConfig, grants, stores};
use super::handler::{HandlerConfig, handler};
use super::ledger::{LedgerConfig, OfPipeline, ledger};
use super::telemetry::{TelemetryConfig, telemetry};
use super::{DAY, MIB, is_name};
use crate::registry::{LettersByCause, LettersConfig, SourceConfig, dead_letters, source};
use crate::settings::Section;
use pelton_core::RetryPolicy;
use pelton_core::broker::{Dedup, PipelineView};
use pelton_core::flow::FlowRules;
use pelton_core::number::millis;
use pelton_engine::DedupKey;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    pub shutdown_timeout: Duration,
    pub max_message_bytes: usize,
    pub max_component_bytes: usize,
    pub compile_timeout: Duration,
    /// What the worker tells others of itself.
    pub telemetry: TelemetryConfig,
    /// Where it can be asked over HTTP.
    pub admin: AdminConfig,
    /// Stores of state that pipelines may share.
    pub stores: Vec<StoreConfig>,
    /// Databases that pipelines may name.
    pub databases: Vec<HomeConfig>,
    pub pipelines: Vec<PipelineConfig>,
}

/// One pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    pub name: String,
    pub source: SourceConfig,
    pub max_in_flight: usize,
    pub max_in_flight_bytes: usize,
    pub decode: DecodeConfig,
    pub handler: HandlerConfig,
    pub flow: FlowRules,
    pub retry: RetryPolicy,
    pub dedup: DedupKey,
    pub expires_after: Duration,
    pub dead_letters: LettersConfig,
    /// Where letters of some causes go instead.
    pub letters_by_cause: LettersByCause,
    pub grants: GrantsConfig,
    pub ledger: LedgerConfig,
}

/// Takes a file apart. Problems are noted; what is returned then is of no use.
pub fn config(root: Section<'_>, base: &Path) -> Config {
    let data_dir = root.text("data_dir").unwrap_or_else(|| "data".to_owned());
    if data_dir.is_empty() {
        root.problem("data_dir", "is empty; write a folder such as \"data\"");
    }
    let max_message_bytes = root.size("max_message_bytes", MIB);
    if !(1..=256 * MIB).contains(&max_message_bytes) {
        root.problem("max_message_bytes", "must be from 1 byte to 256MiB");
    }
    let sections = root.sections("pipelines");
    if sections.is_empty() {
        root.problem(
            "pipelines",
            "is missing: write at least one `[pipelines.NAME.handler]` with its `component`",
        );
    }
    let stores = stores(&root);
    let databases = databases(&root, base);
    let others = Nameable { stores: &stores, databases: &databases };
    let of_all = OfAll { base, max_message_bytes, others };
    let pipelines = sections.into_iter().map(|(name, section)| pipeline(name, section, &of_all)).collect();
    let shutdown_timeout = root.duration("shutdown_timeout", Duration::from_secs(30));
    let compile_timeout = root.duration("compile_timeout", Duration::from_secs(120));
    if compile_timeout < Duration::from_millis(100) || compile_timeout > DAY {
        root.problem("compile_timeout", "must be from 100ms to 1d");
    }
    let config = Config {
        data_dir: base.join(data_dir),
        shutdown_timeout,
        max_message_bytes,
        max_component_bytes: root.size("max_component_bytes", 32 * MIB),
        compile_timeout,
        telemetry: telemetry(root.section("telemetry"), base),
        admin: admin(root.section("admin"), base),
        stores,
        databases,
        pipelines,
    };
    root.finish();
    config
}

impl Config {
    /// What the broker of a pipeline has to know of it.
    pub fn view(&self, pipeline: &PipelineConfig) -> PipelineView {
        PipelineView {
            name: pipeline.name.as_str().into(),
            max_in_flight: pipeline.max_in_flight,
            max_in_flight_bytes: pipeline.max_in_flight_bytes,
            concurrency: pipeline.handler.spec.concurrency,
            timeout: pipeline.handler.spec.timeout,
            retry: pipeline.retry,
            dedup: match pipeline.dedup {
                DedupKey::MessageId => Dedup::Id,
                DedupKey::Header(_)
                | DedupKey::Json { .. }
                | DedupKey::Body
                | DedupKey::CloudEvent
                | DedupKey::Sns => Dedup::Key,
                DedupKey::Off => Dedup::Off,
            },
            expires_after: pipeline.expires_after,
            shutdown_timeout: self.shutdown_timeout,
            max_message_bytes: self.max_message_bytes,
            leaves_letters: pipeline.dead_letters.is_redrive(),
        }
    }
}

impl PipelineConfig {
    /// The places of its letters, each once: the usual one, then those of some causes.
    pub fn letter_places(&self) -> Vec<&LettersConfig> {
        let mut places = vec![&self.dead_letters];
        for (_, place) in &self.letters_by_cause {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

/// What a pipeline has to know of the rest of the file.
struct OfAll<'f> {
    base: &'f Path,
    max_message_bytes: usize,
    others: Nameable<'f>,
}

fn pipeline(name: String, section: Section<'_>, of_all: &OfAll<'_>) -> PipelineConfig {
    let OfAll { base, max_message_bytes, others } = *of_all;
    if !is_name(&name) {
        let path = section.path.clone();
        section
            .problems
            .note(&path, "is no name for a pipeline: use 1 to 64 of a-z, A-Z, 0-9, `-` and `_`");
    }
    let source = source(&section, &name);
    let max_in_flight_bytes = section.size("max_in_flight_bytes", 64 * MIB);
    if max_in_flight_bytes < max_message_bytes {
        let what = format!(
            "is {max_in_flight_bytes} bytes, less than `max_message_bytes` ({max_message_bytes}): the \
             largest message would never fit"
        );
        section.problem("max_in_flight_bytes", what);
    }
    let (dedup, expires_after) = dedup(section.section("dedup"));
    let granted = section.section("grants");
    let grants_sql = granted.has("sql");
    let waits = granted.has("http") || grants_sql;
    let handler = handler(section.section("handler"), base, waits);
    let grants = grants(granted, &name, base, handler.spec.timeout, others);
    let of = OfPipeline {
        name: &name,
        timeout: handler.spec.timeout,
        sql: grants.sql.as_ref(),
        grants_sql,
        databases: others.databases,
    };
    let ledger = ledger(section.section("ledger"), &of);
    let (dead_letters, letters_by_cause) = dead_letters(&section, &source);
    let pipeline = PipelineConfig {
        max_in_flight: section.number("max_in_flight", 1..=1_000_000, 1_000),
        max_in_flight_bytes,
        decode: decode(section.section("decode"), base, max_message_bytes),
        flow: flow(section.section("flow"), handler.spec.timeout, handler.spec.concurrency),
        handler,
        grants,
        ledger,
        retry: retry(section.section("retry")),
        dedup,
        expires_after,
        dead_letters,
        letters_by_cause,
        name,
        source,
    };
    section.finish();
    pipeline
}

/// From so many receives on a message is given up on without a start, unless something else is said.
const MAX_RECEIVES: u32 = 1_000;
/// The longest wait before an attempt, where nothing else is said.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);

fn retry(section: Section<'_>) -> RetryPolicy {
    let max_attempts: u32 = section.number("max_attempts", 1..=1_000, 5);
    // So that the attempts alone never come to it.
    let default = MAX_RECEIVES.max(max_attempts.saturating_mul(10));
    let max_receives = section.number("max_receives", 2..=1_000_000, default);
    if max_receives <= max_attempts {
        section.problem(
            "max_receives",
            format!(
                "is {max_receives}, and must be more than `max_attempts` \
            ({max_attempts}): each attempt is a receive too"
            ),
        );
    }
    let max_ms = millis(section.duration("max_interval", Duration::from_secs(300)));
    let longest = millis(section.duration("max_delay", LONGEST_WAIT));
    let policy = RetryPolicy {
        max_attempts,
        max_receives,
        initial_ms: millis(section.duration("initial_interval", Duration::from_secs(1))),
        max_ms,
        max_delay_ms: if section.has("max_delay") { longest } else { longest.max(max_ms) },
        multiplier: section.real("multiplier", 1.0..=100.0, 2.0),
        jitter: section.real("jitter", 0.0..=1.0, 0.2),
    };
    if policy.max_ms < policy.initial_ms {
        section.problem("max_interval", "is shorter than `initial_interval`; make it at least as long");
    }
    if policy.max_delay_ms < policy.max_ms {
        section.problem("max_delay", "is shorter than `max_interval`; make it at least as long");
    }
    section.finish();
    policy
}

fn dedup(section: Section<'_>) -> (DedupKey, Duration) {
    let text = section.text("key").unwrap_or_else(|| "message-id".to_owned());
    let key = DedupKey::parse(&text);
    if key.is_none() {
        let words = "`message-id`, `header:NAME`, `json:/pointer`, `body`, `cloudevent`, `sns` or `off`";
        section.problem("key", format!("is `{text}`, must be {words}"));
    }
    let expires_after = section.duration("expires_after", 14 * DAY);
    if expires_after < Duration::from_secs(1) {
        section.problem("expires_after", "must be at least 1s; `key = \"off\"` turns deduplication off");
    }
    section.finish();
    (key.unwrap_or(DedupKey::MessageId), expires_after)
}
