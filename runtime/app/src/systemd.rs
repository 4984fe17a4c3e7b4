//! What a service manager is told, where one listens: systemd with `Type=notify`, or one that speaks as it
//! does.
//!
//! A datagram of lines `NAME=VALUE` to the socket that `NOTIFY_SOCKET` names. Who does not listen is not
//! waited for: what cannot be told is logged once, and changes nothing.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where to tell, in the environment.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often it wants to hear that all is well, in microseconds; and from which process.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "WATCHDOG_PID");

static MANAGER: LazyLock<Option<Manager>> = LazyLock::new(Manager::of_environment);

/// Who listens.
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    is_reported: AtomicBool,
}

impl Manager {
    fn of_environment() -> Option<Self> {
        let path = std::env::var_os(SOCKET).filter(|path| !path.is_empty())?;
        let opened = address(path.as_encoded_bytes()).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(Self { socket, address, is_reported: AtomicBool::new(false) })
        });
        if let Err(error) = &opened {
            tracing::warn!(%error, "{SOCKET} names no socket: nobody is told how this worker stands");
        }
        opened.ok()
    }

    fn tell_all(&self, lines: &str) {
        if let Err(error) = self.socket.send_to_addr(lines.as_bytes(), &self.address)
            && !self.is_reported.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the service manager at {SOCKET} is not told how this worker stands");
        }
    }
}

/// A path, or behind an `@` a name that no file has.
fn address(name: &[u8]) -> std::io::Result<SocketAddr> {
    use std::os::unix::ffi::OsStrExt;
    match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    }
}

fn notify(lines: &str) {
    if let Some(manager) = &*MANAGER {
        manager.tell_all(lines);
    }
}

/// The pipelines run; after a reload again.
pub fn ready() {
    notify("READY=1\nSTATUS=the pipelines run");
}

/// The configuration is read again.
pub fn reloading() {
    notify("RELOADING=1\nSTATUS=the configuration is read again");
}

/// What runs is finished, and the rest handed back: within so long, which the service manager allows then.
pub fn stopping(shutdown_timeout: Duration) {
    // Beside it the broker has its time for the last commit.
    let allowed = shutdown_timeout.saturating_add(Duration::from_secs(15)).as_micros();
    notify(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={allowed}\nSTATUS=what runs is finished"));
}

/// Handlers are compiled, which may take longer than a start may.
pub fn starting(more: Duration) {
    notify(&format!("EXTEND_TIMEOUT_USEC={}\nSTATUS=handlers are compiled", more.as_micros()));
}

/// The worker lives.
pub fn alive() {
    notify("WATCHDOG=1");
}

/// How often it is to be said that the worker lives: twice as often as the manager wants; none where it does
/// not.
pub fn watchdog_interval() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    MANAGER.as_ref()?;
    let is_meant = number(WATCHDOG.1).is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number(WATCHDOG.0).filter(|micros| *micros > 0 && is_meant)?;
    Some(Duration::from_micros(micros / 2).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_socket_is_a_path_or_a_name() {
        assert_eq!(
            address(b"/run/systemd/notify").unwrap().as_pathname().unwrap().to_str(),
            Some("/run/systemd/notify")
        );
        assert_eq!(address(b"@a/name").unwrap().as_abstract_name(), Some(&b"a/name"[..]));
        assert!(address(&[b'x'; 200]).is_err() && address(b"a\0b").is_err());
    }
}
