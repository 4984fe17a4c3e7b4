//! Connections: the addresses of a name, found once and looked at, TCP to those very addresses, and TLS.

use super::address::is_allowed;
use super::failure::{Code, Failed, of_io};
use super::net::Net;
use crate::grants::Grants;
use crate::grants::http::{HttpResolver, PrivateAddresses, Proxy};
use crate::grants::origin::{Host, Origin};
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// Addresses of a name that are tried.
const ADDRESSES: usize = 8;
/// Bytes of a proxy's answer.
const PROXY_ANSWER: usize = 8 << 10;

/// Makes connections for one handler.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Settings>);

struct Settings {
    grants: Arc<Grants>,
    resolver: Arc<dyn HttpResolver>,
    tls: Result<TlsConnector, String>,
    proxy: Option<Result<Proxy, String>>,
    timeout: Duration,
}

/// A connection, with TLS or without.
pub(crate) struct Wire {
    stream: Stream,
    proxied: bool,
    uses: Uses,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How many requests a connection has carried.
#[derive(Clone, Default)]
pub(crate) struct Uses(pub(crate) Arc<AtomicU32>);

impl Connector {
    pub(crate) fn new(grants: &Arc<Grants>, net: &Net) -> Self {
        let limits = &grants.http_limits;
        let needs_tls = grants.http.iter().any(|grant| grant.to.origin.tls);
        let tls =
            if needs_tls { tls(net, limits.ca.as_deref()) } else { Err("no grant has TLS".to_owned()) };
        Self(Arc::new(Settings {
            resolver: net.resolver(),
            tls,
            proxy: limits.proxy.as_deref().map(crate::grants::http::proxy),
            timeout: limits.connect_timeout,
            grants: Arc::clone(grants),
        }))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Wire>, Failed>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let settings = Arc::clone(&self.0);
        Box::pin(async move {
            let deadline = Instant::now() + settings.timeout;
            let late =
                |_| Code::ConnectionTimeout.says(format!("no connection within {:?}", settings.timeout));
            timeout_at(deadline, settings.connect(&uri, deadline)).await.map_err(late)?.map(TokioIo::new)
        })
    }
}

impl Settings {
    async fn connect(&self, uri: &Uri, deadline: Instant) -> Result<Wire, Failed> {
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let origin = Origin::new(uri.scheme_str() == Some("https"), authority)
            .map_err(|error| Code::UriInvalid.says(format!("the address {error}")))?;
        let proxy = self.proxy.as_ref().map(Result::as_ref).transpose();
        let proxy = proxy.map_err(|why| Code::Configuration.says(format!("the proxy {why}")))?;
        let tcp = match proxy {
            Some(proxy) => {
                let found = self.addresses(&proxy.origin.host).await?;
                let mut tcp = tcp(&found, proxy.origin.port, deadline).await?;
                if origin.tls {
                    tunnel(&mut tcp, &origin, proxy).await?;
                }
                tcp
            }
            None => {
                let found = self.addresses(&origin.host).await?;
                self.check_addresses(&origin, &found)?;
                tcp(&found, origin.port, deadline).await?
            }
        };
        let proxied = proxy.is_some() && !origin.tls;
        let stream = if origin.tls { self.secured(tcp, &origin).await? } else { Stream::Plain(tcp) };
        Ok(Wire { stream, proxied, uses: Uses::default() })
    }

    /// The addresses of a host, each once.
    async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Failed> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        let found = tokio::time::timeout(self.timeout, self.resolver.resolve(name)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                return Err(Code::DnsError.says(format!("{name} cannot be resolved: {error}")));
            }
            Err(_) => {
                let words = format!("{name} was not resolved within {:?}", self.timeout);
                return Err(Code::DnsTimeout.says(words));
            }
        };
        let mut each: Vec<IpAddr> = Vec::new();
        for address in found {
            let address = address.to_canonical();
            if !each.contains(&address) {
                each.push(address);
            }
        }
        if each.is_empty() {
            return Err(Code::DnsError.says(format!("{name} has no address")));
        }
        Ok(each)
    }

    /// One address that is not allowed makes all of them suspect: who has put it there may choose the order.
    fn check_addresses(&self, origin: &Origin, found: &[IpAddr]) -> Result<(), Failed> {
        let none = PrivateAddresses::Refused;
        let private = self.grants.http_grant(origin, |_| true).map_or(&none, |grant| &grant.private);
        let Some(refused) = found.iter().find(|address| !is_allowed(**address, private)) else {
            return Ok(());
        };
        Err(Code::IpProhibited.says(format!(
            "{} has the address {refused}, which is not public; if it is meant, add `private = true` \
             (private networks) or `private = [\"{}/{}\"]` to its grant",
            origin.host_text(),
            refused,
            if refused.is_ipv4() { 32 } else { 128 }
        )))
    }

    async fn secured(&self, tcp: TcpStream, origin: &Origin) -> Result<Stream, Failed> {
        let connector = self.tls.as_ref().map_err(|why| Code::Configuration.says(why.clone()))?;
        let name = match &origin.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| Code::UriInvalid.says(format!("{name}: {error}")))?,
        };
        let stream = connector.connect(name, tcp).await.map_err(|error| of_io(&error))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// Connects to one address after another; each has its part of the time that is left.
async fn tcp(found: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Failed> {
    let mut failed = Code::DestinationUnavailable.says("it has no address");
    let tried = found.len().min(ADDRESSES);
    for (n, address) in found.iter().take(tried).enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let until = Instant::now() + left / u32::try_from(tried - n).unwrap_or(1);
        failed = match timeout_at(until, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|error| of_io(&error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => of_io(&error),
            Err(_) => Code::ConnectionTimeout.says("no connection in time"),
        };
    }
    Err(failed)
}

/// Asks a proxy for a way through to `origin`.
async fn tunnel(tcp: &mut TcpStream, origin: &Origin, proxy: &Proxy) -> Result<(), Failed> {
    let to = format!("{}:{}", origin.host_text(), origin.port);
    let mut asked = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(login) = &proxy.login {
        asked.extend_from_slice(b"Proxy-Authorization: ");
        asked.extend_from_slice(login.as_bytes());
        asked.extend_from_slice(b"\r\n");
    }
    asked.extend_from_slice(b"\r\n");
    tcp.write_all(&asked).await.map_err(|error| of_io(&error))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER {
            return Err(Code::Protocol.says("the proxy's answer has no end"));
        }
        // One at a time: what follows is TLS of somebody else.
        answer.push(tcp.read_u8().await.map_err(|error| of_io(&error))?);
    }
    let status = answer.split(|b| *b == b' ').nth(1).unwrap_or_default();
    if status.starts_with(b"2") {
        return Ok(());
    }
    let status = crate::guest::text::clean(&String::from_utf8_lossy(status), 16);
    Err(Code::DestinationUnavailable
        .says(format!("the proxy does not connect to {to}: it answered {status}")))
}

/// The system's certificates and those of `ca_file`.
fn tls(net: &Net, ca: Option<&str>) -> Result<TlsConnector, String> {
    let own = ca.map(crate::grants::http::certificates).transpose()?.unwrap_or_default();
    let mut roots = match net.roots() {
        Ok(roots) => (*roots).clone(),
        // Those of the file may do.
        Err(_) if !own.is_empty() => rustls::RootCertStore::empty(),
        Err(why) => return Err(why),
    };
    for certificate in own {
        roots.add(certificate).map_err(|error| format!("`ca_file`: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied).extra(self.uses.clone());
        match &self.stream {
            Stream::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            Stream::Plain(_) | Stream::Tls(_) => connected,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
