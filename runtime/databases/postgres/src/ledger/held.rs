//! Claims of this process that have not ended.

use super::Key;
use pelton_core::ports::Claim;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A row that a claim of ours holds: what ends it has to match `worker` and `claim`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The row's key.
    pub key: Key,
    /// The incarnation that has claimed it.
    pub worker: i32,
    /// The number of the claim, of that incarnation's.
    pub claim: i64,
    /// When it was claimed, in milliseconds of the database's clock.
    pub claimed_at_ms: i64,
    /// Attempts before this one: what a start that does not count leaves.
    pub before: i32,
    /// Attempts with this one.
    pub attempts: i32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    held: Held,
    /// It is being completed now.
    ending: bool,
    /// Whether a commit of it was sent and never answered.
    in_doubt: bool,
}

/// Claims that others have taken over, as many as are remembered: what was asked for behind one of them in
/// its lane comes soon, or never.
const OVERTAKEN: usize = 1_024;

/// Claims that have not ended.
#[derive(Debug, Default)]
pub struct LiveClaims {
    claims: Mutex<HashMap<Claim, Entry>>,
    overtaken: Mutex<VecDeque<Claim>>,
    ended: Arc<Notify>,
}

/// How the one ahead of a message in its lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// It has ended.
    Ended,
    /// It is being completed: how that goes is not known yet.
    Ending,
    /// It is live, and nobody completes it.
    Live,
}

impl LiveClaims {
    /// A claim was granted.
    pub fn add(&self, claim: Claim, held: Held) {
        self.claims().insert(claim, Entry { held, ending: false, in_doubt: false });
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.claims().len()
    }

    /// What a claim holds; none of one that has ended.
    pub fn get(&self, claim: Claim) -> Option<Held> {
        self.claims().get(&claim).map(|entry| entry.held)
    }

    /// A claim is being completed; whether its last commit is in doubt.
    pub fn begin(&self, claim: Claim) -> Option<(Held, bool)> {
        let mut claims = self.claims();
        let entry = claims.get_mut(&claim)?;
        entry.ending = true;
        Some((entry.held, entry.in_doubt))
    }

    /// It was not completed, and is live still.
    pub fn stays(&self, claim: Claim, in_doubt: bool) {
        if let Some(entry) = self.claims().get_mut(&claim) {
            (entry.ending, entry.in_doubt) = (false, in_doubt);
        }
        self.ended.notify_waiters();
    }

    /// It has ended.
    pub fn end(&self, claim: Claim) {
        self.claims().remove(&claim);
        self.ended.notify_waiters();
    }

    /// It has ended, and not by us: another worker has its message.
    pub fn is_overtaken(&self, claim: Claim) {
        let mut overtaken = self.overtaken.lock().unwrap_or_else(PoisonError::into_inner);
        if overtaken.len() >= OVERTAKEN {
            overtaken.pop_front();
        }
        overtaken.push_back(claim);
        drop(overtaken);
        self.end(claim);
    }

    /// Waits until it is known how the one ahead stands; whether it was not completed, or is another's by
    /// now.
    pub async fn is_open_after(&self, ahead: Claim) -> bool {
        loop {
            let told = self.ended.notified();
            match self.ahead(ahead) {
                Ahead::Ended => {
                    let overtaken = self.overtaken.lock().unwrap_or_else(PoisonError::into_inner);
                    return overtaken.contains(&ahead);
                }
                Ahead::Live => return true,
                Ahead::Ending => told.await,
            }
        }
    }

    fn ahead(&self, claim: Claim) -> Ahead {
        match self.claims().get(&claim) {
            None => Ahead::Ended,
            Some(entry) if entry.ending => Ahead::Ending,
            Some(_) => Ahead::Live,
        }
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<Claim, Entry>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
