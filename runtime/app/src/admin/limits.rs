//! How much clients may have, at once and in time.

use std::time::Duration;

/// Bytes of a body, but for components.
pub const BODY_BYTES: usize = 1 << 20;
/// Bytes of a request's line and headers, and of what is buffered for a client.
pub const BUFFER_BYTES: usize = 32 << 10;
/// Headers of a request.
pub const HEADERS: usize = 64;
/// How long a client may take for the headers, and for its part of TLS.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take for a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it may take for a component.
pub const COMPONENT_TIMEOUT: Duration = Duration::from_secs(120);
/// A client that does not take so many bytes in so long of what waits for it is left.
pub const STALLED_BYTES: usize = 16 << 10;
pub const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// What the worker is asked at once, and how long a request waits for its turn.
pub const ASKED: usize = 16;
pub const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What it is called.
    pub name: &'static str,
    /// Connections at once.
    pub connections: usize,
    /// Those of them that one address may have. Proxies, which stand for many, may have all.
    pub of_one: usize,
    /// How long a connection may last.
    pub lifetime: Option<Duration>,
    /// Whether one connection may have several requests.
    pub keep_alive: bool,
}

impl Limits {
    pub const API: Self =
        Self { name: "api", connections: 256, of_one: 64, lifetime: None, keep_alive: true };
    /// Of a process that may open so many files: a quarter of them at most, since brokers want theirs.
    pub fn within(self, files: Option<u64>) -> Self {
        let share = files.map_or(usize::MAX, |files| usize::try_from(files / 4).unwrap_or(usize::MAX));
        let share = share.max(1);
        Self { connections: self.connections.min(share), of_one: self.of_one.min(share), ..self }
    }

    /// Only the worker's own user reaches it.
    pub const SOCKET: Self = Self { of_one: Self::API.connections, ..Self::API };
    /// Of who need not say who it is.
    pub const HEALTH: Self = Self {
        name: "health",
        connections: 128,
        of_one: 32,
        lifetime: Some(Duration::from_secs(60)),
        keep_alive: false,
    };
}
