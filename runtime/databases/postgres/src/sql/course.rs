//! How a transaction goes: known to who asks for it and to the connection that finds out.

use super::failure::Failure;
use pelton_core::effects::TransactionState;
use std::sync::{Mutex, PoisonError};

/// The first failure counts: those behind it are its consequences.
#[derive(Debug, Default)]
pub(crate) struct Course(Mutex<Option<Failure>>);

impl Course {
    /// Notes a failure; true when it is the first.
    pub(crate) fn failed(&self, failure: &Failure) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = known.is_none();
        known.get_or_insert_with(|| failure.clone());
        is_first
    }

    /// The failure was undone, and with it all that the message has done.
    pub(crate) fn mended(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a connection nothing was undone.
        known.take_if(|failure| !failure.ends_connection());
    }

    /// What went wrong, if anything has.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it stands, as far as is known.
    pub(crate) fn standing(&self) -> TransactionState {
        self.failure().map_or(TransactionState::Open, |failure| failure.standing())
    }
}
