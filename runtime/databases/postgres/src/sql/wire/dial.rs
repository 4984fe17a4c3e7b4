//! Connecting: the way to a server, with TLS where that is asked for.

use super::{CancelKey, Wire, startup};
use crate::client::{Fault, Kind, Tls};
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};

/// How long one endpoint of several may take, where the URL does not say.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may take to note a cancel request.
const CANCEL: Duration = Duration::from_secs(3);

/// A stream of bytes, with or without TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One endpoint that a server may be at.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Where to connect to.
    host: Host,
    port: u16,
    /// Whose certificate it has to be; none for a socket of this machine.
    name: Option<String>,
}

/// A connection that is logged in, with where it leads to. The endpoints of the URL are tried in their order.
///
/// # Errors
/// Why the last of them did not work.
pub(crate) async fn dial(
    config: &Config,
    tls: &Tls,
    longest_row: usize,
) -> Result<(Wire, Endpoint), Fault> {
    let limit = config.get_connect_timeout().copied().unwrap_or(CONNECT);
    let mut last = Fault::new(Kind::Login, "the URL names no host");
    for endpoint in endpoints(config) {
        let connecting = async {
            let stream = open(&endpoint, config, tls).await?;
            startup::start(stream, config, longest_row).await
        };
        match tokio::time::timeout(limit, connecting).await {
            Ok(Ok(wire)) => return Ok((wire, endpoint)),
            Ok(Err(fault)) => last = fault,
            Err(_) => last = Fault::new(Kind::Away, "error connecting to server: connection timed out"),
        }
    }
    Err(last)
}

/// Asks the server to end what a connection does now, and waits until it has noted that: it may not hit what
/// the connection does next.
pub(crate) async fn cancel(
    config: &Config,
    tls: &Tls,
    endpoint: &Endpoint,
    key: CancelKey,
) -> Result<(), Fault> {
    let asking = async {
        let mut stream = open(endpoint, config, tls).await?;
        let mut out = BytesMut::new();
        frontend::cancel_request(key.process, key.secret, &mut out);
        let sent = async {
            stream.write_all(&out).await?;
            stream.flush().await?;
            // The server closes the connection when the signal is on its way.
            stream.read_u8().await.map(drop).or_else(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Ok(()),
                _ => Err(error),
            })
        };
        sent.await.map_err(|error| startup::lost(&error))
    };
    tokio::time::timeout(CANCEL, asking).await.unwrap_or_else(|_| Err(Fault::no_answer()))
}

fn endpoints(config: &Config) -> Vec<Endpoint> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    (0..hosts.len().max(addresses.len()))
        .filter_map(|at| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            let name = match hosts.get(at) {
                Some(Host::Tcp(name)) => Some(name.clone()),
                Some(Host::Unix(_)) | None => None,
            };
            let address = addresses.get(at).map(|address| Host::Tcp(address.to_string()));
            Some(Endpoint { host: address.or_else(|| hosts.get(at).cloned())?, port, name })
        })
        .collect()
}

async fn open(endpoint: &Endpoint, config: &Config, tls: &Tls) -> Result<Box<dyn Io>, Fault> {
    let away = |error: io::Error| Fault::new(Kind::Away, format!("error connecting to server: {error}"));
    match &endpoint.host {
        Host::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{}", endpoint.port));
            Ok(Box::new(UnixStream::connect(path).await.map_err(away)?))
        }
        Host::Tcp(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let stream = TcpStream::connect((host, endpoint.port)).await.map_err(away)?;
            stream.set_nodelay(true).map_err(away)?;
            encrypt(stream, endpoint, config.get_ssl_mode(), tls).await
        }
    }
}

async fn encrypt(
    mut stream: TcpStream,
    endpoint: &Endpoint,
    mode: SslMode,
    tls: &Tls,
) -> Result<Box<dyn Io>, Fault> {
    if mode == SslMode::Disable {
        return Ok(Box::new(stream));
    }
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    stream.write_all(&out).await.map_err(|error| startup::lost(&error))?;
    let answer = stream.read_u8().await.map_err(|error| startup::lost(&error))?;
    let failed =
        |error: io::Error| Fault::new(Kind::Login, format!("error performing TLS handshake: {error}"));
    match (answer, mode) {
        (b'S', _) => {
            let host = endpoint.name.as_deref().unwrap_or_default();
            let mut tls = tls.clone();
            let connect = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, host).map_err(failed)?;
            let stream = connect.connect(stream).await.map_err(failed)?;
            Ok(Box::new(stream))
        }
        (_, SslMode::Prefer) => Ok(Box::new(stream)),
        _ => Err(Fault::new(Kind::Login, "error performing TLS handshake: server does not support TLS")),
    }
}
