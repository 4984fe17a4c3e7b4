//! Grants of HTTP: where a handler may send requests, what the host adds to them, and how much of it.

use super::Grants;
use super::origin::Origin;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ipnet::IpNet;
use pelton_core::ports::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One place that a handler may reach.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// The place: scheme, host or `*.host`, and port.
    pub to: HttpTarget,
    /// Methods, in upper case; all of them when it is empty.
    pub methods: Vec<String>,
    /// Headers that the host puts in, in place of the handler's own of that name. The handler never has
    /// their values, and nothing shows them. Values are what HTTP allows in a header.
    pub headers: Vec<(String, String)>,
    /// The header that carries the idempotency key of POST and PATCH; none when it is off.
    pub idempotency: Option<String>,
    /// Which addresses its name may have that are not on the public internet.
    pub private: PrivateAddresses,
    /// Whether a version in the shadow may reach it too.
    pub shadow: bool,
}

/// The header that carries idempotency keys where a grant says nothing else.
pub const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";

/// Addresses that are not on the public internet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PrivateAddresses {
    /// None of them.
    #[default]
    Refused,
    /// Those of private networks (RFC 1918, RFC 6598, RFC 4193). No loopback, no link-local ones.
    Allowed,
    /// Those in these ranges, whatever they are.
    Only(Vec<IpNet>),
}

/// Where a grant goes: `https://api.example.com`, `http://*.internal.example:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    pub(crate) origin: Origin,
    /// Any name below the host, and not the host itself.
    pub(crate) below: bool,
}

/// How much HTTP a handler may do.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests of the pipeline at once. Others wait, as long as a connection may take.
    pub max_concurrent: usize,
    /// From a request's begin to a connection: waiting for its turn, finding addresses, and TLS.
    pub connect_timeout: Duration,
    /// From a request's begin to the end of its answer.
    pub timeout: Duration,
    /// The largest body of a request, in bytes.
    pub max_request: u64,
    /// The largest body of an answer, in bytes.
    pub max_response: u64,
    /// Certificates (PEM) that are trusted beside the system's: the contents of `ca_file`.
    pub ca: Option<String>,
    /// A proxy that all requests go through, `http://host:port`, with a login before the host if it wants
    /// one. It finds the addresses then, so none is checked here.
    pub proxy: Option<String>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_concurrent: 32,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            max_request: 4 << 20,
            max_response: 4 << 20,
            ca: None,
            proxy: None,
        }
    }
}

/// Who answers a handler's requests.
#[derive(Clone, Default)]
pub enum HttpSwitch {
    /// The world.
    #[default]
    Real,
    /// Nobody: each request is denied.
    Refused,
    /// A script, for tests: nothing leaves the process. Grants count as they do for the world.
    Scripted(Arc<dyn HttpScript>),
}

/// Answers requests in place of the world.
pub trait HttpScript: Send + Sync {
    /// The answer to a request. Called on a thread that must not be held up.
    fn answer(&self, request: &HttpRequest) -> HttpAnswer;

    /// A request to this place was denied before it could go out, for this reason.
    fn denied(&self, place: &str, why: &str) {
        let _untold = (place, why);
    }
}

/// A request as it would go out, with what the host puts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The idempotency key of the message that it belongs to, where one is known.
    pub message: Option<String>,
    /// The method, in upper case.
    pub method: String,
    /// The whole address, in its plain form.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Wait for so long before it. Limits and deadlines count meanwhile.
    pub delay: Duration,
    /// The answer, or why there is none.
    pub end: Result<HttpResponse, HttpError>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Names in any case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {words}")]
pub struct HttpError {
    /// The name of `wasi:http`'s error code, such as `connection-timeout`.
    pub code: String,
    /// In words.
    pub words: String,
}

/// Finds the addresses of a name: the system's resolver, or a test's.
pub trait HttpResolver: Send + Sync {
    /// All of them. Called on the threads for HTTP, which must not be held up.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

impl HttpLimits {
    /// Whether certificates and proxy are what they should be.
    ///
    /// # Errors
    /// The name of the setting, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(ca) = &self.ca {
            certificates(ca).map_err(|why| ("ca_file", why))?;
        }
        if let Some(text) = &self.proxy {
            proxy(text).map_err(|why| ("proxy", why))?;
        }
        Ok(())
    }
}

/// The certificates of a file.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| format!("has a certificate that cannot be read: {error}"))?;
    if all.is_empty() {
        return Err("has no certificate in it; it is a file of `-----BEGIN CERTIFICATE-----`".to_owned());
    }
    Ok(all)
}

/// A proxy, and what it is told of who asks.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) origin: Origin,
    /// The value of `Proxy-Authorization`.
    pub(crate) login: Option<HeaderValue>,
}

/// Reads where a proxy is: `http://host:port`, or with a login before the host.
pub(crate) fn proxy(text: &str) -> Result<Proxy, String> {
    let wrong = "is no proxy that is spoken to in plain; write `http://host:port`";
    let (scheme, rest) = text.split_once("://").ok_or(wrong)?;
    let (login, host) = match rest.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, rest),
    };
    let target = HttpTarget::parse(&format!("{scheme}://{host}"))?;
    if target.origin.tls || target.below {
        return Err(wrong.to_owned());
    }
    let header = |login: &str| {
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(login)))
            .map_err(|_| "has a login that cannot be sent")?;
        value.set_sensitive(true);
        Ok::<_, &str>(value)
    };
    Ok(Proxy { origin: target.origin, login: login.map(header).transpose()? })
}

impl Grants {
    /// The grant for a place, of those that `may` be used: one that names it before one for what is below.
    pub(crate) fn http_grant(&self, to: &Origin, may: impl Fn(&HttpGrant) -> bool) -> Option<&HttpGrant> {
        let all = || self.http.iter().filter(|grant| grant.to.covers(to) && may(grant));
        all().find(|grant| !grant.to.below).or_else(|| all().next())
    }
}

impl HttpTarget {
    /// Reads a place.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        super::origin::target(text)
    }
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.write(f, if self.below { "*." } else { "" })
    }
}

/// Without the values of headers.
impl fmt::Debug for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpGrant")
            .field("to", &self.to.to_string())
            .field("methods", &self.methods)
            .field("headers", &names)
            .field("idempotency", &self.idempotency)
            .field("private", &self.private)
            .field("shadow", &self.shadow)
            .finish()
    }
}

/// Without the proxy, which may have a login.
impl fmt::Debug for HttpLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLimits")
            .field("max_concurrent", &self.max_concurrent)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("max_request", &self.max_request)
            .field("max_response", &self.max_response)
            .field("ca", &self.ca.is_some())
            .field("proxy", &self.proxy.is_some())
            .finish()
    }
}

impl fmt::Debug for HttpSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real => "Real",
            Self::Refused => "Refused",
            Self::Scripted(_) => "Scripted",
        })
    }
}
