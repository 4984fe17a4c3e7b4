//! The socket in a data directory.

use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

const SOCKET: &str = "pelton.sock";

/// A path to the socket that fits its address, however deep the data directory is.
fn address(dir: &File, name: &str) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

/// Reaches the worker of a data directory.
pub fn connect(data_dir: &Path) -> std::io::Result<UnixStream> {
    let dir = File::open(data_dir)?;
    UnixStream::connect(address(&dir, SOCKET))
}

/// Opens the socket. The caller owns the data directory: what is there is a dead worker's.
pub fn listen(data_dir: &Path) -> std::io::Result<UnixListener> {
    listen_as(data_dir, SOCKET)
}

/// Opens a socket of that name in a directory, for the user of this process alone. What is there goes.
pub fn listen_as(dir: &Path, name: &str) -> std::io::Result<UnixListener> {
    let path = dir.join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let dir = File::open(dir)?;
    let listener = UnixListener::bind(address(&dir, name))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}
