//! One request to a collector.

use crate::config::OtlpConfig;
use crate::oci;
use crate::settings::Lookup;
use pelton_core::shown::shown;
use pelton_host::file;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderValue, Request, StatusCode};
use ureq::tls::Certificate;

/// Bytes of an answer that are read: it says little.
const ANSWER_BYTES: u64 = 64 << 10;
/// Bytes of words from elsewhere that are shown.
const WORDS: usize = 200;
/// Bytes of a file of certificates.
const MAX_CERTIFICATES: usize = 1 << 20;
/// A collector may ask for no longer wait.
const LONGEST: Duration = Duration::from_secs(300);

/// What a collector says.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// It has it; with the body of its answer.
    Taken(Vec<u8>),
    /// Perhaps later, not before this time has passed, where it says one; and why.
    Later(Option<Duration>, String),
    /// Never, and why.
    Refused(String),
}

/// Who asks.
pub struct Poster {
    agent: Agent,
    headers: HeaderMap,
    timeout: Duration,
}

impl Poster {
    /// Reads what is needed: certificates, and headers that may be secrets.
    pub fn new(config: &OtlpConfig, env: Lookup<'_>) -> Result<Self, String> {
        let is_plain = config.traces.iter().chain(&config.metrics).any(|url| url.starts_with("http://"));
        let more = config.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let agent =
            oci::agent_trusting(is_plain, more).map_err(|why| format!("telemetry.otlp.endpoint: {why}"))?;
        let mut headers = HeaderMap::new();
        for (name, given) in &config.headers {
            let wrong = |why: &str| format!("telemetry.otlp.headers.{name} {why}");
            let value = given.value(env).map_err(|why| wrong(&why))?;
            value.warning.iter().for_each(|why| tracing::warn!("{}", wrong(why)));
            let mut text = HeaderValue::from_str(&value.text)
                .map_err(|_| wrong("has a value that no header can have; take line feeds out"))?;
            text.set_sensitive(true);
            let name = ureq::http::HeaderName::from_bytes(name.as_bytes());
            headers.insert(name.map_err(|_| wrong("is no name of a header"))?, text);
        }
        Ok(Self { agent, headers, timeout: config.timeout })
    }

    /// Sends a body, and waits for the answer: no longer than is set, and than there is.
    pub fn post(&self, url: &str, body: &[u8], left: Option<Duration>) -> Answer {
        let timeout =
            left.map_or(self.timeout, |left| left.min(self.timeout)).max(Duration::from_millis(1));
        let mut request = Request::builder().method("POST").uri(url);
        request = request.header("content-type", "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let run = |request| {
            let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
            self.agent.run(request)
        };
        let response = match request.body(body).map_err(ureq::Error::Http).and_then(run) {
            Ok(response) => response,
            Err(ureq::Error::Timeout(_)) => {
                return Answer::Later(None, format!("it does not answer within {timeout:?}"));
            }
            Err(error) => return Answer::Later(None, words(&error.to_string())),
        };
        let (head, body) = response.into_parts();
        // Read to its end, so that the connection can be used again.
        let body = body.into_with_config().limit(ANSWER_BYTES).read_to_vec().unwrap_or_default();
        answer(head.status, &head.headers, body)
    }
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, String> {
    let wrong = |why: String| format!("telemetry.otlp.ca_file: {} {why}", pelton_core::shown::path(path));
    let bytes = file::read(path, MAX_CERTIFICATES).map_err(|why| wrong(why.to_string()))?;
    let found: Result<Vec<_>, _> = ureq::tls::parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
        .collect();
    match found {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(wrong("has no certificate; write the authority's, in PEM".to_owned())),
    }
}

/// By the rules of OTLP: four statuses say that it may go well later.
fn answer(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Answer {
    match status.as_u16() {
        200..=299 => Answer::Taken(body),
        429 | 502 | 503 | 504 => {
            let after = headers.get("retry-after").and_then(|value| value.to_str().ok());
            Answer::Later(after.and_then(retry_after), format!("it answers {}", words(&status.to_string())))
        }
        _ => Answer::Refused(format!("it answers {}", words(&status.to_string()))),
    }
}

/// Seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let wait = date.as_millisecond().checked_sub(i64::try_from(crate::telemetry::time::now_ms()).ok()?)?;
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(LONGEST))
}

fn words(text: &str) -> String {
    shown(text).at_most(WORDS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_well_later_and_when() {
        let of = |status: u16, after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert("retry-after", HeaderValue::from_str(after).unwrap());
            }
            answer(StatusCode::from_u16(status).unwrap(), &headers, Vec::new())
        };
        let later = |status, after| match of(status, after) {
            Answer::Later(after, _) => after.map(|after| after.as_secs()),
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(
            [later(429, Some("7")), later(503, Some("99999")), later(502, None)],
            [Some(7), Some(300), None]
        );
        assert_eq!(later(504, Some("Wed, 21 Oct 2015 07:28:00 GMT")), Some(0));
        assert_eq!(later(503, Some("nonsense")), None);
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert!(matches!(of(status, None), Answer::Refused(_)), "{status}");
        }
        assert_eq!(of(202, None), Answer::Taken(Vec::new()));
    }
}
