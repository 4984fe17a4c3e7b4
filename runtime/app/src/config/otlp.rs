//! Where telemetry goes, by OTLP over HTTP; and which traces are recorded. The `OTEL_*` variables win over
//! the file.

use super::given::Given;
use crate::settings::Section;
use pelton_core::trace::Sampling;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A collector.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpConfig {
    /// Where spans go; none where they are not wanted.
    pub traces: Option<String>,
    /// Where metrics go; none where they are not wanted.
    pub metrics: Option<String>,
    /// Sent with each request: by name, and they may be secrets.
    pub headers: Vec<(String, Given)>,
    /// An authority that is trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// For one request.
    pub timeout: Duration,
    /// Between two requests with metrics.
    pub interval: Duration,
}

/// Which spans there are.
#[derive(Debug, Clone, PartialEq)]
pub struct TracesConfig {
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// What fails is recorded in any case.
    pub failures: bool,
    /// Spans of this worker, of each of both kinds: sampled, and failed.
    pub max_per_second: u32,
    /// Whether a `process` span is a child of its message's producer, or only linked to it.
    pub links_parent: bool,
}

const TIMEOUT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(15);
/// The share of traces that are recorded, of messages that come without one.
const RATIO: f64 = 0.001;
const MOST_SPANS: u32 = 200;

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            sampling: Sampling::new(true, RATIO),
            failures: true,
            max_per_second: MOST_SPANS,
            links_parent: false,
        }
    }
}

/// Reads `otlp` of the section `telemetry`; none where nothing is sent.
pub fn otlp(section: &Section<'_>, base: &Path) -> Option<OtlpConfig> {
    let table = section.section("otlp");
    let endpoint = table.text("endpoint");
    if endpoint.is_none() && section.has("otlp") && !table.has("endpoint") {
        table.problem("endpoint", "is missing; write a collector's address: \"http://localhost:4318\"");
    }
    let endpoint = endpoint.and_then(|url| address(&table, "endpoint", &url));
    let mut headers = headers(&table.section("headers"), base);
    let ca_file = table.text("ca_file").map(|path| base.join(path));
    let timeout = bounded(&table, "timeout", TIMEOUT, Duration::from_millis(100)..=Duration::from_secs(60));
    let interval =
        bounded(&table, "interval", INTERVAL, Duration::from_secs(1)..=Duration::from_secs(3600));
    table.finish();
    let env = |name: &'static str| section.variable(name);
    let of_env = |name: &'static str| env(name).and_then(|url| address(section, name, &url));
    let endpoint = of_env("OTEL_EXPORTER_OTLP_ENDPOINT").or(endpoint);
    let is_off = |name| env(name).is_some_and(|word| word == "none");
    let signal = |exporter, own, path: &str| {
        if is_off(exporter) {
            return None;
        }
        let below = |base: &String| format!("{}/{path}", base.trim_end_matches('/'));
        of_env(own).or_else(|| endpoint.as_ref().map(below))
    };
    let traces = signal("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "v1/traces");
    let metrics = signal("OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "v1/metrics");
    refuse_protocol(section);
    if let Some(text) = env("OTEL_EXPORTER_OTLP_HEADERS") {
        headers = headers_of_env(section, &text);
    }
    let is_disabled = env("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"));
    let is_wanted = (traces.is_some() || metrics.is_some()) && !is_disabled;
    let config = OtlpConfig {
        traces,
        metrics,
        headers,
        ca_file: env("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from).or(ca_file),
        timeout: millis_of_env(section, "OTEL_EXPORTER_OTLP_TIMEOUT").unwrap_or(timeout),
        interval: millis_of_env(section, "OTEL_METRIC_EXPORT_INTERVAL").unwrap_or(interval),
    };
    is_wanted.then_some(config)
}

fn bounded(
    table: &Section<'_>,
    key: &'static str,
    default: Duration,
    bounds: std::ops::RangeInclusive<Duration>,
) -> Duration {
    let value = table.duration(key, default);
    if bounds.contains(&value) {
        return value;
    }
    table.problem(key, format!("must be from {:?} to {:?}", bounds.start(), bounds.end()));
    default
}

fn millis_of_env(section: &Section<'_>, name: &'static str) -> Option<Duration> {
    let text = section.variable(name)?;
    match text.trim().parse::<u64>() {
        Ok(ms) if (1..=3_600_000).contains(&ms) => Some(Duration::from_millis(ms)),
        Ok(_) | Err(_) => {
            section.problem(name, "is a variable that must be milliseconds, from 1 to 3600000");
            None
        }
    }
}

/// An address without what does not belong into one. What is wrong is not shown: it may have a password.
fn address(section: &Section<'_>, key: &str, url: &str) -> Option<String> {
    let url = url.trim();
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let parsed =
        url.parse::<ureq::http::Uri>().ok().filter(|uri| uri.host().is_some_and(|h| !h.is_empty()));
    let wrong = match (rest, parsed) {
        (Some(rest), _) if rest.split('/').next().is_some_and(|authority| authority.contains('@')) => {
            "has a user name or a password in it; credentials go into `headers`, such as `authorization`"
        }
        (Some(_), Some(_)) if !url.contains(['?', '#']) => return Some(url.to_owned()),
        _ => {
            "is no address of a collector; write \"http://HOST:4318\" or \"https://HOST\", of OTLP over HTTP"
        }
    };
    section.problem(key, wrong);
    None
}

fn headers(table: &Section<'_>, base: &Path) -> Vec<(String, Given)> {
    let mut all = Vec::new();
    for (name, written) in table.entries() {
        if !is_header(&name) {
            table.problem(&name, "is no name of a header");
        } else if let Some(given) = Given::read(table, &name, written, base) {
            all.push((name.to_ascii_lowercase(), given));
        }
    }
    all
}

fn headers_of_env(section: &Section<'_>, text: &str) -> Vec<(String, Given)> {
    let Some(all) = pairs(text).filter(|all| all.iter().all(|(name, _)| is_header(name))) else {
        // What stands there may be a secret.
        section.problem(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "is a variable that must be `name=value,name=value`, the values percent-encoded",
        );
        return Vec::new();
    };
    // It is what it is: a dollar sign refers to nothing.
    let given = |value: String| Given::Text(value.replace('$', "$$"));
    all.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), given(value))).collect()
}

/// `name=value,name=value`, the values percent-encoded.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), percent_decoded(value.trim())?))
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(pair).collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A collector's port for gRPC would answer nothing that can be understood.
fn refuse_protocol(section: &Section<'_>) {
    const NAMES: [&str; 2] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"];
    for name in NAMES {
        let other = section.variable(name).filter(|protocol| protocol != "http/protobuf");
        if let Some(protocol) = other {
            section
                .problem(name, format!("is `{protocol}`; the only one that is spoken is `http/protobuf`"));
        }
    }
}

/// Reads `traces` of the section `telemetry`.
pub fn traces(section: &Section<'_>) -> TracesConfig {
    const WORDS: [(&str, (bool, Option<f64>)); 4] = [
        ("parent", (true, None)),
        ("ratio", (false, None)),
        ("always", (false, Some(1.0))),
        ("never", (false, Some(0.0))),
    ];
    let table = section.section("traces");
    let (mut follows_parent, fixed) = table.word("sampler", &WORDS, (true, None));
    let mut ratio = table.real("ratio", 0.0..=1.0, RATIO);
    ratio = fixed.unwrap_or(ratio);
    let traces = TracesConfig {
        failures: table.flag("failures", true),
        max_per_second: table.number("max_per_second", 1..=100_000, MOST_SPANS),
        links_parent: table.word("process_parent", &[("creation", false), ("link", true)], false),
        ..TracesConfig::default()
    };
    table.finish();
    if let Some((follows, share)) = of_env(section, ratio) {
        (follows_parent, ratio) = (follows, share);
    }
    TracesConfig { sampling: Sampling::new(follows_parent, ratio), ..traces }
}

/// What `OTEL_TRACES_SAMPLER` says.
fn of_env(section: &Section<'_>, ratio: f64) -> Option<(bool, f64)> {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    let share = section.variable(ARGUMENT).and_then(|text| {
        let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            section.problem(ARGUMENT, "is a variable that must be a number from 0 to 1");
        }
        share
    });
    let word = section.variable(NAME)?;
    Some(match word.as_str() {
        "always_on" => (false, 1.0),
        "always_off" => (false, 0.0),
        "traceidratio" => (false, share.unwrap_or(1.0)),
        "parentbased_always_on" => (true, 1.0),
        "parentbased_always_off" => (true, 0.0),
        "parentbased_traceidratio" => (true, share.unwrap_or(1.0)),
        other => {
            let what = format!(
                "is `{other}`; known are always_on, always_off, traceidratio, and these behind parentbased_"
            );
            section.problem(NAME, what);
            (true, ratio)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn values_of_the_variable_are_decoded() {
        assert_eq!(percent_decoded("Bearer%20a%2Cb").as_deref(), Some("Bearer a,b"));
        assert_eq!(
            (percent_decoded("%2"), percent_decoded("%zz"), percent_decoded("%ff")),
            (None, None, None)
        );
    }
}
