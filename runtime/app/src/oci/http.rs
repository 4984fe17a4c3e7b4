//! Questions and answers, and where these lead.

use pelton_core::shown;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// For a connection, and for the first word of an answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, &'a str)>,
    pub(super) body: Option<&'a [u8]>,
    /// Bytes of the answer.
    pub(super) max: usize,
}

/// What was answered, whatever it is.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

/// Scheme, host and port of an address.
pub(super) fn place(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// Where an answer leads, if the question may go there.
pub(super) fn leads_to(ask: &Ask<'_>, url: &str, answer: &Answer) -> Option<String> {
    let asks = ask.method == "GET" || ask.method == "HEAD";
    let to =
        answer.headers.get("location").filter(|_| asks && answer.status.is_redirection())?.to_str().ok()?;
    if !to.starts_with('/') || to.starts_with("//") {
        return Some(to.to_owned());
    }
    let (scheme, host, port) = place(url)?;
    Some(format!("{scheme}://{host}:{port}{to}"))
}

/// The tag under which registries without an answer of their own keep what refers to a digest.
pub(super) fn fallback(digest: &str) -> String {
    digest.replace(':', "-")
}

/// What names a file of certificates in place of the system's, and the bytes that it may have.
const CERTIFICATES: &str = "SSL_CERT_FILE";
const MAX_CERTIFICATES: usize = 16 << 20;

/// The certificates that the system trusts.
fn roots() -> Result<Vec<Certificate<'static>>, String> {
    if let Some(named) = std::env::var_os(CERTIFICATES).filter(|name| !name.is_empty()) {
        // The library would wait for a pipe, and read a device without an end.
        let path = Path::new(&named);
        let read = pelton_host::file::read(path, MAX_CERTIFICATES);
        read.map_err(|why| format!("{CERTIFICATES}: {} {why}", shown::path(path)))?;
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or("there are none".to_owned(), ToString::to_string);
        return Err(format!(
            "no authority's certificate can be read ({why}), so no registry can be trusted: install the \
             system's, or name a file of them with {CERTIFICATES}"
        ));
    }
    Ok(found.certs.iter().map(|c| Certificate::from_der(c).to_owned()).collect())
}

/// TLS with the system's certificates, and with the cryptography that the rest of the program has.
pub fn agent(plain: bool) -> Result<Agent, String> {
    agent_trusting(plain, Vec::new())
}

/// The same with more certificates that are trusted.
pub fn agent_trusting(plain: bool, more: Vec<Certificate<'static>>) -> Result<Agent, String> {
    // One that is spoken to without TLS needs none, but where it leads to may.
    let needs_none = plain || !more.is_empty();
    let mut roots = roots().or_else(|why| if needs_none { Ok(Vec::new()) } else { Err(why) })?;
    roots.extend(more);
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let agent = Agent::config_builder()
        .tls_config(tls)
        .https_only(!plain)
        .http_status_as_error(false)
        // Followed here: the library would take a login to another port.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .user_agent(concat!("pelton/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    Ok(agent)
}
