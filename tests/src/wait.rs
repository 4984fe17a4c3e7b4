//! Waiting for facts that nobody announces: what another process has written.

use std::time::{Duration, Instant};

/// How long a test waits for anything: far longer than it takes, on a machine that does ten other
/// things too.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often it looks.
pub const LOOK: Duration = Duration::from_millis(5);

/// Looks until `fact` is there.
///
/// # Panics
/// When it is not there after `PATIENCE`; `what` says what was waited for.
pub fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "after {PATIENCE:?} still not: {what}");
        std::thread::park_timeout(LOOK);
    }
}
