//! What the worker tells others of itself.

use super::otlp::{OtlpConfig, TracesConfig, otlp, pairs, traces};
use crate::settings::Section;
use std::path::Path;

/// The section `telemetry`.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryConfig {
    /// What the worker is called.
    pub service_name: String,
    /// What else is said of it with all that it sends.
    pub attributes: Vec<(String, String)>,
    /// Where that goes; none where nothing is sent.
    pub otlp: Option<OtlpConfig>,
    /// Which spans there are.
    pub traces: TracesConfig,
    /// Which metrics there are.
    pub metrics: MetricsConfig,
}

/// Which metrics there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Some for each partition.
    pub partitions: bool,
    /// Series of one metric whose labels come from outside.
    pub max_series: usize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { partitions: false, max_series: MOST_SERIES }
    }
}

const MOST_SERIES: usize = 2_000;

fn metrics(section: &Section<'_>) -> MetricsConfig {
    let table = section.section("metrics");
    let metrics = MetricsConfig {
        partitions: table.flag("partitions", false),
        max_series: table.number("max_series", 1..=100_000, MOST_SERIES),
    };
    table.finish();
    metrics
}

/// Reads it; `OTEL_*` variables win over what is written.
pub fn telemetry(section: Section<'_>, base: &Path) -> TelemetryConfig {
    let named = section.text("service_name");
    let mut attributes: Vec<(String, String)> = Vec::new();
    if let Some(text) = section.variable("OTEL_RESOURCE_ATTRIBUTES") {
        match pairs(&text) {
            Some(all) => attributes = all,
            None => section
                .problem("OTEL_RESOURCE_ATTRIBUTES", "is a variable that must be `name=value,name=value`"),
        }
    }
    let of_attributes = attributes.iter().position(|(name, _)| name == "service.name");
    let of_attributes = of_attributes.map(|at| attributes.remove(at).1);
    let service_name = section.variable("OTEL_SERVICE_NAME").or(of_attributes).or(named);
    let config = TelemetryConfig {
        service_name: service_name.unwrap_or_else(|| "pelton".to_owned()),
        attributes,
        otlp: otlp(&section, base),
        traces: traces(&section),
        metrics: metrics(&section),
    };
    section.finish();
    config
}
