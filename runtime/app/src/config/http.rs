//! Grants of HTTP, as they are configured.

use super::MIB;
use super::given::Given;
use crate::settings::{Section, Written};
use pelton_host::{HttpLimits, HttpTarget, IDEMPOTENCY_HEADER, IpNet, PrivateAddresses};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A place that a handler may reach.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// What this is called below `grants`, where something is wrong with it: `http[0]`.
    pub key: String,
    pub to: HttpTarget,
    /// All when it is empty.
    pub methods: Vec<String>,
    /// Put in by the host, by name.
    pub headers: Vec<(String, Given)>,
    /// The header for the idempotency key; none when it is off.
    pub idempotency: Option<String>,
    pub private: PrivateAddresses,
    pub shadow: bool,
}

/// How much HTTP there may be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LimitsConfig {
    /// What is known without looking anything up.
    pub limits: HttpLimits,
    /// Certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// It may have a login.
    pub proxy: Option<Given>,
}

/// Headers that HTTP itself needs, or that say where a request goes. The host makes them.
const OF_HTTP: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "pelton-message",
];

/// Reads `http` and `http_limits` of the section `grants`.
pub fn http(section: &Section<'_>, base: &Path, timeout: Duration) -> (Vec<HttpConfig>, LimitsConfig) {
    let tables = section.tables("http");
    if section.has("http_limits") && !section.has("http") {
        section.problem("http_limits", "is given without `http`; grant a place there, or leave this out");
    }
    let key = |place: usize| format!("http[{place}]");
    let places = tables.into_iter().enumerate();
    let http = places.filter_map(|(number, table)| place(table, key(number), base)).collect();
    (http, limits(section.section("http_limits"), base, timeout))
}

fn place(table: Section<'_>, key: String, base: &Path) -> Option<HttpConfig> {
    let text = table.text("to");
    if text.is_none() && !table.has("to") {
        table.problem(
            "to",
            "is missing; write a scheme, a host and perhaps a port: \"https://api.example.com\"",
        );
    }
    let to = text.and_then(|text| to(&table, &text));
    let (methods, headers) = (methods(&table), headers(&table, base));
    let (idempotency, private) = (idempotency(&table), private(&table));
    let shadow = table.flag("shadow", false);
    table.finish();
    Some(HttpConfig { key, to: to?, methods, headers, idempotency, private, shadow })
}

fn to(table: &Section<'_>, text: &str) -> Option<HttpTarget> {
    // What is wrong with it is not shown then: it would be shown with it.
    if text.contains('@') {
        let what =
            "has a user name or a password in it; credentials go into `headers`, such as `authorization`";
        table.problem("to", what);
        return None;
    }
    HttpTarget::parse(text).map_err(|why| table.problem("to", why)).ok()
}

fn methods(table: &Section<'_>) -> Vec<String> {
    if table.is_empty_list("methods") {
        table.problem(
            "methods",
            "is an empty list, by which nothing could be sent; leave it out for all methods",
        );
    }
    let methods = table.texts("methods");
    for method in methods.iter().filter(|method| !is_token(method) || is_tunnel(method)) {
        table.problem(
            "methods",
            format!("names `{method}`, which is no method of requests: GET, POST, ..."),
        );
    }
    methods.iter().map(|method| method.to_ascii_uppercase()).collect()
}

fn headers(table: &Section<'_>, base: &Path) -> Vec<(String, Given)> {
    let section = table.section("headers");
    let mut all: Vec<(String, Given)> = Vec::new();
    for (name, written) in section.entries() {
        let plain = name.to_ascii_lowercase();
        if !is_token(&name) {
            section.problem(&name, "is no name of a header");
        } else if OF_HTTP.contains(&&*plain) {
            section.problem(&name, "is a header that the host makes itself; leave it out");
        } else if all.iter().any(|(other, _)| *other == plain) {
            section.problem(&name, "is there in another spelling too; leave one of them out");
        }
        all.extend(Given::read(&section, &name, written, base).map(|given| (plain, given)));
    }
    all
}

fn idempotency(table: &Section<'_>) -> Option<String> {
    let name = table.text("idempotency").unwrap_or_else(|| IDEMPOTENCY_HEADER.to_owned());
    if !is_token(&name) || OF_HTTP.contains(&&*name.to_ascii_lowercase()) {
        let what = "must be the name of a header, such as \"Idempotency-Key\", or \"off\"";
        table.problem("idempotency", what);
    }
    (name != "off").then_some(name)
}

fn private(table: &Section<'_>) -> PrivateAddresses {
    let ranges = match table.written("private") {
        None | Some(Written::Flag(false)) => return PrivateAddresses::Refused,
        Some(Written::Flag(true)) => return PrivateAddresses::Allowed,
        Some(Written::Texts(ranges)) if !ranges.is_empty() => ranges,
        Some(_) => {
            table.problem("private", "must be true, false or a list of ranges, such as [\"127.0.0.1/32\"]");
            return PrivateAddresses::Refused;
        }
    };
    let range = |text: &String| {
        let range: Option<IpNet> = text.parse().ok();
        if range.is_none() {
            let what = format!(
                "names `{text}`, which is no range of addresses, such as \"127.0.0.1/32\" or \"fd00::/8\""
            );
            table.problem("private", what);
        }
        range
    };
    PrivateAddresses::Only(ranges.iter().filter_map(range).collect())
}

fn limits(section: Section<'_>, base: &Path, handler: Duration) -> LimitsConfig {
    let defaults = HttpLimits::default();
    let body = |key: &'static str, default: u64| {
        let size = section.size(key, usize::try_from(default).unwrap_or(usize::MAX));
        if !(1..=256 * MIB).contains(&size) {
            section.problem(key, "must be from 1 byte to 256MiB");
        }
        u64::try_from(size).unwrap_or(u64::MAX)
    };
    let timeout = section.duration("timeout", defaults.timeout.min(handler));
    if timeout < Duration::from_millis(1) || timeout > handler {
        let what = format!(
            "must be from 1ms to the handler's `timeout` ({handler:?}), which ends its call anyway"
        );
        section.problem("timeout", what);
    }
    let connect_timeout = section.duration("connect_timeout", defaults.connect_timeout.min(timeout));
    if connect_timeout < Duration::from_millis(1) || connect_timeout > timeout {
        section.problem("connect_timeout", format!("must be from 1ms to `timeout` here ({timeout:?})"));
    }
    let limits = HttpLimits {
        max_concurrent: section.number("max_concurrent", 1..=10_000, defaults.max_concurrent),
        connect_timeout,
        timeout,
        max_request: body("max_request", defaults.max_request),
        max_response: body("max_response", defaults.max_response),
        ..defaults
    };
    let proxy = section.written("proxy").and_then(|written| Given::read(&section, "proxy", written, base));
    let ca_file = section.text("ca_file").map(|path| base.join(path));
    section.finish();
    LimitsConfig { limits, ca_file, proxy }
}

/// What HTTP lets a method and a header be called.
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

/// A method that asks for something else than an answer.
fn is_tunnel(method: &str) -> bool {
    method.eq_ignore_ascii_case("CONNECT")
}
