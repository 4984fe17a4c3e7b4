//! `[[case.http]]`: a request that a handler is expected to make, and the answer that it gets.

use super::body::BodyParts;
use super::written::{Headers, duration, one_body};
use pelton_core::shown::shown;
use pelton_host::{HttpAnswer, HttpError, HttpRequest, HttpResponse};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A request that is expected. What is left out may be anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    method: Option<String>,
    /// In the form of the host; only its beginning where `*` stood at its end.
    url: String,
    is_prefix: bool,
    headers: Vec<(String, Vec<u8>)>,
    body: BodyParts,
    /// How often.
    pub times: u32,
    pub answer: HttpAnswer,
}

/// What can go wrong, and what `wasi:http` calls it.
const FAILURES: &[(&str, &str)] = &[
    ("connection-refused", "connection-refused"),
    ("connection-reset", "connection-terminated"),
    ("connection-timeout", "connection-timeout"),
    ("timeout", "HTTP-response-timeout"),
    ("incomplete", "HTTP-response-incomplete"),
    ("dns", "DNS-error"),
    ("tls", "TLS-certificate-error"),
    ("protocol", "HTTP-protocol-error"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRequest {
    method: Option<String>,
    url: String,
    headers: Option<Headers>,
    body: Option<String>,
    json: Option<toml::Value>,
    #[serde(default = "once")]
    times: u32,
    #[serde(default)]
    answer: RawAnswer,
}

fn once() -> u32 {
    1
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    status: Option<u16>,
    headers: Option<Headers>,
    body: Option<String>,
    json: Option<toml::Value>,
    body_file: Option<PathBuf>,
    body_base64: Option<String>,
    delay: Option<String>,
    failure: Option<String>,
}

impl Expected {
    /// As it stands in a file of `folder`.
    pub fn read(raw: RawRequest, folder: &Path) -> Result<Self, String> {
        let (url, is_prefix) = match raw.url.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (raw.url.as_str(), false),
        };
        if raw.times == 0 {
            return Err("times counts from 1".to_owned());
        }
        Ok(Self {
            method: raw.method.map(|method| method.to_ascii_uppercase()),
            url: normal(url, is_prefix)?,
            is_prefix,
            headers: raw.headers.map(Headers::pairs).unwrap_or_default(),
            body: parts(raw.body, raw.json)?,
            times: raw.times,
            answer: answer(raw.answer, folder).map_err(|why| format!("answer: {why}"))?,
        })
    }

    pub fn is_to(&self, asked: &HttpRequest) -> bool {
        let method = self.method.as_ref().is_none_or(|method| *method == asked.method);
        let url = if self.is_prefix { asked.url.starts_with(&self.url) } else { asked.url == self.url };
        method && url
    }

    /// What of it is missing in a request to the same place.
    pub fn missing_in(&self, asked: &HttpRequest) -> Option<String> {
        missing_header(&self.headers, &asked.headers).or_else(|| self.body.missing_in(&asked.body))
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        let host = self.url.find("://").map_or(0, |at| at + 3);
        let end = self.url[host..].find(['/', '?']).map_or(self.url.len(), |at| host + at);
        &self.url[..end]
    }

    /// In one line.
    pub fn words(&self) -> String {
        let method = self.method.as_deref().unwrap_or("any method");
        let star = if self.is_prefix { "*" } else { "" };
        format!("{} {}{star}", shown(method), shown(&self.url))
    }
}

/// The header that is not there, of those that are wanted; names in any case.
pub fn missing_header(wanted: &[(String, Vec<u8>)], got: &[(String, Vec<u8>)]) -> Option<String> {
    let is_there = |(name, value): &&(String, Vec<u8>)| {
        got.iter().any(|(other, has)| other.eq_ignore_ascii_case(name) && has == value)
    };
    let (name, value) = wanted.iter().find(|header| !is_there(header))?;
    Some(format!("the header {}: {}", shown(name), shown(value)))
}

/// A text and JSON as they are wanted of a body.
pub fn parts(text: Option<String>, json: Option<toml::Value>) -> Result<BodyParts, String> {
    let json = json.map(serde_json::to_value).transpose().map_err(|error| format!("json: {error}"))?;
    Ok(BodyParts { text, json })
}

fn answer(raw: RawAnswer, folder: &Path) -> Result<HttpAnswer, String> {
    let delay = duration("delay", raw.delay)?.unwrap_or_default();
    let body = one_body(raw.body, raw.json, raw.body_file, raw.body_base64, folder)?;
    let end = match raw.failure {
        Some(_) if raw.status.is_some() || body.is_some() || raw.headers.is_some() => {
            return Err("a failure has no status, headers or body".to_owned());
        }
        Some(word) => Err(failure(&word)?),
        None => Ok(HttpResponse {
            status: status(raw.status.unwrap_or(200))?,
            headers: raw.headers.map(Headers::pairs).unwrap_or_default(),
            body: body.unwrap_or_default(),
        }),
    };
    Ok(HttpAnswer { delay, end })
}

fn status(status: u16) -> Result<u16, String> {
    if (200..=599).contains(&status) { Ok(status) } else { Err("status must be 200 to 599".to_owned()) }
}

fn failure(word: &str) -> Result<HttpError, String> {
    let found = FAILURES.iter().find(|(name, code)| *name == word || code.eq_ignore_ascii_case(word));
    let words = || FAILURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let (_, code) = found.ok_or_else(|| format!("the failure `{}` is none of {}", shown(word), words()))?;
    Ok(HttpError { code: (*code).to_owned(), words: "the case says so".to_owned() })
}

/// A URL as the host has it: scheme and host in small letters, without the scheme's own port, with a path.
fn normal(url: &str, is_prefix: bool) -> Result<String, String> {
    let scheme = |url: &str| {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        matches!(&*scheme, "http" | "https").then(|| (scheme, rest.to_owned()))
    };
    let (scheme, rest) = scheme(url)
        .ok_or_else(|| format!("the url \"{}\" must begin with https:// or http://", shown(url)))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let port = if scheme == "https" { ":443" } else { ":80" };
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(port).unwrap_or(&host);
    let slash = if path.starts_with('/') || (path.is_empty() && is_prefix) { "" } else { "/" };
    Ok(format!("{scheme}://{host}{slash}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn expected(text: &str) -> Result<Expected, String> {
        let raw = toml::from_str(text).map_err(|error| error.to_string())?;
        Expected::read(raw, Path::new("/p/tests"))
    }

    #[test]
    fn an_answer_can_be_late_or_none() {
        let answer =
            |text: &str| expected(&format!("url = \"http://a\"\nanswer = {text}")).map(|one| one.answer);
        let late = answer("{ delay = \"2s\", failure = \"timeout\" }").expect("good");
        assert_eq!(late.delay, Duration::from_secs(2));
        assert_eq!(late.end.expect_err("none").code, "HTTP-response-timeout");
        let whole =
            answer("{ json = { ok = true }, headers = [[\"a\", \"1\"], [\"a\", \"2\"]] }").expect("good");
        let response = whole.end.expect("an answer");
        assert_eq!((response.status, response.headers.len()), (200, 2));
        assert_eq!(response.body, b"{\"ok\":true}");
        assert_eq!(expected("url = \"https://A:8443?b\"").expect("good").origin(), "https://a:8443");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("url = \"a.example\"", "must begin with https://"),
            ("url = \"http://a\"\ntimes = 0", "from 1"),
            ("url = \"http://a\"\nanswer = { status = 99 }", "200 to 599"),
            ("url = \"http://a\"\nanswer = { failure = \"boom\" }", "none of connection-refused"),
            ("url = \"http://a\"\nanswer = { failure = \"dns\", status = 200 }", "a failure has no status"),
            ("url = \"http://a\"\nanswer = { body = \"x\", json = 1 }", "give one of"),
            ("url = \"http://a\"\nanswr = 1", "answr"),
            ("method = \"GET\"", "url"),
        ] {
            let error = expected(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
