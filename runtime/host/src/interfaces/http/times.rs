//! Moments by which something of a request must have happened.

use super::failure::Failed;
use crate::grants::http::HttpLimits;
use hyper_util::client::legacy::connect::CaptureConnection;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime_wasi_http::RequestOptions;

/// Until when what must have happened.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) connected: Instant,
    pub(super) first_byte: Option<Instant>,
    pub(super) ended: Instant,
    pub(super) between: Option<Duration>,
}

impl Times {
    pub(super) fn new(limits: &HttpLimits, options: RequestOptions) -> Self {
        let now = Instant::now();
        let asked = |own: Option<Duration>, most: Duration| now + own.map_or(most, |own| own.min(most));
        let ended = now + limits.timeout;
        Self {
            connected: asked(options.connect_timeout, limits.connect_timeout).min(ended),
            first_byte: options.first_byte_timeout.map(|own| now + own),
            ended,
            between: options.between_bytes_timeout,
        }
    }
}

/// Resolves when there is no connection in time; never when there is one.
pub(super) async fn not_connected(
    captured: &mut CaptureConnection,
    until: Instant,
    late: Failed,
) -> Failed {
    match timeout_at(until, async { drop(captured.wait_for_connection_metadata().await) }).await {
        Ok(()) => std::future::pending().await,
        Err(_) => late,
    }
}

/// At a moment, or never.
pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits, but not beyond a moment.
pub(super) async fn wait(delay: Duration, until: Instant) -> bool {
    timeout(until.saturating_duration_since(Instant::now()), tokio::time::sleep(delay)).await.is_ok()
}
