//! Waiting for facts that nobody announces: what another process has written.

use std::time::{Duration, Instant};

/// How long a test waits for anything: far longer than it takes, on a machine that does ten other
/// things too.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// How often it looks.
pub const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Looks until `fact` is there.
///
/// # Panics
/// When it is not there after `DEADLINE`; `what` says what was waited for.
pub fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(since.elapsed() < DEADLINE, "after {DEADLINE:?} still not: {what}");
        std::thread::park_timeout(POLL_INTERVAL);
    }
}

/// The same for a fact that has to be waited for itself, on a runtime of tokio.
///
/// # Panics
/// When it is not there after `DEADLINE`; `what` says what was waited for.
pub async fn until_it<T>(what: &str, mut fact: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = fact().await {
            return found;
        }
        assert!(since.elapsed() < DEADLINE, "after {DEADLINE:?} still not: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
