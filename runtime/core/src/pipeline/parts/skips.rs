//! Messages that an operator gives up on, and that have not come yet.

use super::entry::Entry;
use crate::pipeline::{Named, Skip};

#[derive(Debug, Default)]
pub struct Skips(Vec<Skip>);

impl Skips {
    /// Waits for a message; one of the same name is replaced.
    pub fn wait(&mut self, skip: Skip) {
        self.end(&skip.named);
        self.0.push(skip);
    }

    /// Waits no longer; whether it did.
    pub fn end(&mut self, named: &Named) -> bool {
        let before = self.0.len();
        self.0.retain(|skip| skip.named != *named);
        self.0.len() < before
    }

    pub fn awaits(&self, named: &Named) -> bool {
        self.0.iter().any(|skip| skip.named == *named)
    }

    /// The reason to give up on what has come, if somebody waits for it.
    pub fn take(&mut self, entry: &Entry) -> Option<String> {
        let place = self.0.iter().position(|skip| skip.named.is(entry))?;
        Some(self.0.swap_remove(place).reason)
    }
}
