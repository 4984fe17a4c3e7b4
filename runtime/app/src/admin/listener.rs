//! Where clients come in.

use crate::control::socket;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

const SOCKET: &str = "admin.sock";
/// Connections that the system keeps for who accepts them.
const BACKLOG: u32 = 128;

/// Of either kind.
pub enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A connection, and who is at its other end.
pub enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// A user of this machine.
    User { uid: Option<u32> },
    Address {
        ip: IpAddr,
        /// Which of this machine's it has reached.
        local: Option<IpAddr>,
    },
}

impl Peer {
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::User { .. } => None,
            Self::Address { ip, .. } => Some(ip),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User { uid: Some(uid) } => write!(f, "uid {uid}"),
            Self::User { uid: None } => f.write_str("the socket"),
            Self::Address { ip, .. } => write!(f, "{ip}"),
        }
    }
}

impl Listener {
    /// Within the runtime.
    pub fn tcp(address: SocketAddr) -> std::io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
        }?;
        // A worker that starts again finds connections of the one before it still ending.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG).map(Self::Tcp)
    }

    /// In a data directory, which its worker owns: what is there is a dead worker's. Within the runtime.
    pub fn in_data_dir(data_dir: &Path) -> std::io::Result<Self> {
        socket::listen_as(data_dir, SOCKET).map(Self::Unix)
    }

    /// At a path; a socket that is there already and that nobody listens to makes way. Within the runtime.
    pub fn unix(path: &Path) -> std::io::Result<Self> {
        let (dir, name) = path
            .parent()
            .zip(path.file_name().and_then(|name| name.to_str()))
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "it is no path of a socket"))?;
        match std::fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(Error::new(ErrorKind::AlreadyExists, "something else than a socket is there"));
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(Error::new(ErrorKind::AddrInUse, "another process listens there"));
            }
            _ => {}
        }
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        socket::listen_as(dir, name).map(Self::Unix)
    }

    /// Of one that has an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    pub async fn accept(&self) -> std::io::Result<(Accepted, Peer)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Accepted::Unix(stream), Peer::User { uid }))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let local = stream.local_addr().ok().map(|local| local.ip().to_canonical());
                // Answers are small: nothing is gained by waiting for more of one.
                stream.set_nodelay(true)?;
                Ok((Accepted::Tcp(stream), Peer::Address { ip: address.ip().to_canonical(), local }))
            }
        }
    }
}
