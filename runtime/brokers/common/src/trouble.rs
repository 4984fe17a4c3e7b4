//! Why letters are not written now, for who asks how a pipeline stands.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Trouble that is not seen again for so long is over, or another worker's: each letter is tried again
/// sooner.
const OLD: Duration = Duration::from_secs(180);

/// Seen when a letter was tried last.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<Option<(Instant, String)>>);

impl Trouble {
    /// What came of the letters that were tried last; none when all are written, or kept.
    pub fn show(&self, why: Option<String>) {
        let words = why.map(|why| (Instant::now(), format!("dead letters cannot be written: {why}")));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    /// It, in words; none when there is none that is known of.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().filter(|(seen, _)| seen.elapsed() < OLD).map(|(_, words)| words.clone())
    }
}
