//! One request to S3, signed.

use crate::envelopes::Pointer;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use std::io::Read;
use std::time::{Duration, SystemTime};
use ureq::Agent;

/// For one object, whole.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an error that are looked at.
const MAX_ERROR: u64 = 16 << 10;

#[derive(Debug, Clone, Copy)]
pub enum Method {
    Get,
    Delete,
}

/// Where an object is asked for, and for which region that is signed.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub url: String,
    pub region: String,
}

/// What S3 says.
pub struct Answer {
    pub status: u16,
    /// Where the bucket is, if it says so.
    pub region: Option<String>,
    /// Its word for what is wrong.
    pub code: String,
    /// The object; none where it is larger than was asked for.
    pub body: Option<Vec<u8>>,
}

/// Whether a text may be a region: it becomes part of a host's name.
pub fn is_region(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

impl Endpoint {
    pub fn of(pointer: &Pointer, endpoint: Option<&str>, region: String) -> Self {
        let key = encoded(&pointer.key);
        let bucket = &pointer.bucket;
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = match endpoint {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            // No certificate is for such a host.
            None if bucket.contains('.') => format!("https://s3.{region}.{domain}/{bucket}/{key}"),
            None => format!("https://{bucket}.s3.{region}.{domain}/{key}"),
        };
        Self { url, region }
    }
}

/// As S3 has keys in paths: everything but letters, digits, `-._~` and the slashes.
fn encoded(key: &str) -> String {
    let mut all = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                all.push(char::from(byte));
            }
            other => all.push_str(&format!("%{other:02X}")),
        }
    }
    all
}

/// What signatures and the end of credentials are measured by.
#[allow(clippy::disallowed_methods, reason = "S3 compares it with its own wall clock; nothing is measured")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The headers by which S3 knows who asks.
fn signature(
    method: &str,
    place: &Endpoint,
    credentials: Credentials,
) -> Result<Vec<(String, String)>, String> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&place.region)
        .name("s3")
        .time(wall_clock())
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let request = SignableRequest::new(method, &place.url, std::iter::empty(), SignableBody::Bytes(&[]));
    let signed = sign(request.map_err(|error| error.to_string())?, &params.into());
    let (instructions, _) = signed.map_err(|error| error.to_string())?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Asks. Blocks. `Err` says why there is no answer.
pub fn send(
    agent: &Agent,
    method: Method,
    place: &Endpoint,
    credentials: Credentials,
    max: usize,
) -> Result<Answer, String> {
    let word = match method {
        Method::Get => "GET",
        Method::Delete => "DELETE",
    };
    let mut request = ureq::http::Request::builder().method(word).uri(&place.url);
    for (name, value) in signature(word, place, credentials)? {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|error| error.to_string())?;
    let request = agent.configure_request(request).timeout_global(Some(TIMEOUT)).build();
    let mut answer = agent.run(request).map_err(|error| error.to_string())?;
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let region = header("x-amz-bucket-region").map(str::to_owned);
    let said: Option<u64> = header("content-length").and_then(|length| length.parse().ok());
    let status = answer.status().as_u16();
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    let is_object = matches!(status, 200 | 204);
    if is_object && said.is_some_and(|said| said > max) {
        return Ok(Answer { status, region, code: String::new(), body: None });
    }
    let limit = if is_object { max.saturating_add(1) } else { MAX_ERROR };
    let mut body = Vec::new();
    let read = answer.body_mut().as_reader().take(limit).read_to_end(&mut body);
    read.map_err(|error| format!("the answer breaks off: {error}"))?;
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    if !is_object {
        return Ok(Answer { status, region, code: code(&body), body: Some(Vec::new()) });
    }
    Ok(Answer { status, region, code: String::new(), body: (length <= max).then_some(body) })
}

/// The word in `<Code>` of an error.
fn code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = code.map_or("", |(code, _)| code);
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(bucket: &str, key: &str, endpoint: Option<&str>, region: &str) -> String {
        let pointer = Pointer { bucket: bucket.to_owned(), key: key.to_owned() };
        Endpoint::of(&pointer, endpoint, region.to_owned()).url
    }

    #[test]
    fn an_object_has_its_address() {
        let eu = "eu-central-1";
        let odd = place("b", "a/b c+\u{fc}?#", None, eu);
        assert_eq!(odd, "https://b.s3.eu-central-1.amazonaws.com/a/b%20c%2B%C3%BC%3F%23");
        assert_eq!(place("a.b", "k", None, eu), "https://s3.eu-central-1.amazonaws.com/a.b/k");
        assert_eq!(place("b", "k", None, "cn-north-1"), "https://b.s3.cn-north-1.amazonaws.com.cn/k");
        assert_eq!(place("b", "../x", Some("http://h:1/"), eu), "http://h:1/b/../x");
    }

    #[test]
    fn only_a_region_is_one() {
        assert!(is_region("eu-central-1") && !is_region("") && !is_region("a.b") && !is_region("EVIL"));
        assert_eq!(code(b"<Error><Code>NoSuchKey</Code></Error>"), "NoSuchKey");
        assert_eq!(code(b"<Code>\x1b[31m</Code>"), "31m");
    }
}
