//! Why a request has no answer: a code of `wasi:http` for the guest, and words for people.

use crate::grants::http::HttpError;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind};
use wasmtime_wasi_http::Error;

/// The codes of `wasi:http` that we give, or that a script may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    DnsTimeout,
    DnsError,
    DestinationNotFound,
    DestinationUnavailable,
    IpProhibited,
    IpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ReadTimeout,
    WriteTimeout,
    ConnectionLimit,
    Tls,
    Certificate,
    TlsAlert,
    Denied,
    RequestBodySize,
    MethodInvalid,
    UriInvalid,
    ResponseIncomplete,
    ResponseHeaders,
    ResponseBodySize,
    ResponseTimeout,
    Protocol,
    Configuration,
    Internal,
}

/// Their names in WIT.
const NAMES: [(&str, Code); 26] = [
    ("DNS-timeout", Code::DnsTimeout),
    ("DNS-error", Code::DnsError),
    ("destination-not-found", Code::DestinationNotFound),
    ("destination-unavailable", Code::DestinationUnavailable),
    ("destination-IP-prohibited", Code::IpProhibited),
    ("destination-IP-unroutable", Code::IpUnroutable),
    ("connection-refused", Code::ConnectionRefused),
    ("connection-terminated", Code::ConnectionTerminated),
    ("connection-timeout", Code::ConnectionTimeout),
    ("connection-read-timeout", Code::ReadTimeout),
    ("connection-write-timeout", Code::WriteTimeout),
    ("connection-limit-reached", Code::ConnectionLimit),
    ("TLS-protocol-error", Code::Tls),
    ("TLS-certificate-error", Code::Certificate),
    ("TLS-alert-received", Code::TlsAlert),
    ("HTTP-request-denied", Code::Denied),
    ("HTTP-request-body-size", Code::RequestBodySize),
    ("HTTP-request-method-invalid", Code::MethodInvalid),
    ("HTTP-request-URI-invalid", Code::UriInvalid),
    ("HTTP-response-incomplete", Code::ResponseIncomplete),
    ("HTTP-response-header-section-size", Code::ResponseHeaders),
    ("HTTP-response-body-size", Code::ResponseBodySize),
    ("HTTP-response-timeout", Code::ResponseTimeout),
    ("HTTP-protocol-error", Code::Protocol),
    ("configuration-error", Code::Configuration),
    ("internal-error", Code::Internal),
];

/// A request that has no answer, or no whole one.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    pub(crate) words: String,
    /// The size that is too large, where that is what is wrong.
    pub(crate) size: Option<u64>,
}

impl Code {
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, code)| *code == self).map_or("internal-error", |(name, _)| name)
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, code)| *code)
    }

    /// With these words.
    pub(crate) fn says(self, words: impl Into<String>) -> Failed {
        Failed { code: self, words: words.into(), size: None }
    }
}

/// The names of the errors that a script may answer with, as `wasi:http` has them.
pub fn http_error_codes() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

impl Failed {
    pub(crate) fn too_large(code: Code, size: u64, words: impl Into<String>) -> Self {
        Self { size: Some(size), ..code.says(words) }
    }

    /// As the guest's library sees it.
    pub(crate) fn to_wasi(&self) -> Error {
        match self.code {
            Code::DnsTimeout => Error::DnsTimeout,
            Code::DnsError => Error::DnsError { rcode: Some(self.words.clone()), info_code: None },
            Code::DestinationNotFound => Error::DestinationNotFound,
            Code::DestinationUnavailable => Error::DestinationUnavailable,
            Code::IpProhibited => Error::DestinationIpProhibited,
            Code::IpUnroutable => Error::DestinationIpUnroutable,
            Code::ConnectionRefused => Error::ConnectionRefused,
            Code::ConnectionTerminated => Error::ConnectionTerminated,
            Code::ConnectionTimeout => Error::ConnectionTimeout,
            Code::ReadTimeout => Error::ConnectionReadTimeout,
            Code::WriteTimeout => Error::ConnectionWriteTimeout,
            Code::ConnectionLimit => Error::ConnectionLimitReached,
            Code::Tls => Error::TlsProtocolError,
            Code::Certificate => Error::TlsCertificateError,
            Code::TlsAlert => {
                Error::TlsAlertReceived { alert_id: None, alert_message: Some(self.words.clone()) }
            }
            Code::Denied => Error::HttpRequestDenied,
            Code::RequestBodySize => Error::HttpRequestBodySize(self.size),
            Code::MethodInvalid => Error::HttpRequestMethodInvalid,
            Code::UriInvalid => Error::HttpRequestUriInvalid,
            Code::ResponseIncomplete => Error::HttpResponseIncomplete,
            Code::ResponseHeaders => Error::HttpResponseHeaderSectionSize(None),
            Code::ResponseBodySize => Error::HttpResponseBodySize(self.size),
            Code::ResponseTimeout => Error::HttpResponseTimeout,
            Code::Protocol => Error::HttpProtocolError,
            Code::Configuration => Error::ConfigurationError,
            Code::Internal => Error::InternalError(Some(self.words.clone())),
        }
    }

    /// Of an error of the guest's library that came through a body.
    pub(crate) fn of_wasi(error: &Error) -> Self {
        let code = match error {
            Error::HttpRequestBodySize(_) => Code::RequestBodySize,
            Error::HttpResponseIncomplete => {
                return Code::ResponseIncomplete.says("the answer was cut off");
            }
            _ => Code::Protocol,
        };
        code.says(format!("the handler gave up on the body: {error}"))
    }

    /// Of whatever ended an exchange: the first of its causes that says what it was.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        let mut words = error.to_string();
        while let Some(one) = cause {
            if let Some(failed) = one.downcast_ref::<Self>() {
                return failed.clone();
            }
            if let Some(error) = one.downcast_ref::<Error>() {
                return Self::of_wasi(error);
            }
            if let Some(code) = one.downcast_ref::<hyper::Error>().and_then(of_hyper) {
                return code.says(words_of(one));
            }
            if let Some(error) = one.downcast_ref::<io::Error>() {
                return of_io(error);
            }
            words = one.to_string();
            cause = one.source();
        }
        Code::Protocol.says(words)
    }
}

/// An error with its causes.
fn words_of(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let said = one.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        cause = one.source();
    }
    words
}

fn of_hyper(error: &hyper::Error) -> Option<Code> {
    if error.is_parse_too_large() {
        return Some(Code::ResponseHeaders);
    }
    // Its cause says more.
    if error.source().is_some_and(|cause| cause.is::<Failed>() || cause.is::<io::Error>()) {
        return None;
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Some(Code::ConnectionTerminated);
    }
    error.is_parse().then_some(Code::Protocol)
}

/// Of what the system or TLS says.
pub(crate) fn of_io(error: &io::Error) -> Failed {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(error) = tls {
        let code = match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Code::Certificate
            }
            rustls::Error::AlertReceived(_) => Code::TlsAlert,
            _ => Code::Tls,
        };
        return code.says(format!("TLS: {error}"));
    }
    let code = match error.kind() {
        ErrorKind::ConnectionRefused => Code::ConnectionRefused,
        ErrorKind::TimedOut => Code::ConnectionTimeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
            Code::DestinationUnavailable
        }
        _ => Code::ConnectionTerminated,
    };
    code.says(error.to_string())
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for Failed {}

impl From<Failed> for HttpError {
    fn from(failed: Failed) -> Self {
        Self { code: failed.code.name().to_owned(), words: failed.words }
    }
}

impl From<HttpError> for Failed {
    fn from(error: HttpError) -> Self {
        Code::of_name(&error.code).unwrap_or(Code::Internal).says(error.words)
    }
}
