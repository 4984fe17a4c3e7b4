//! Dead letters where a broker keeps them, as commands see them.

use super::books::OpenError;
use crate::letter::{LetterId, StoredLetter};

/// Which letters are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterQuery {
    /// Only this one.
    pub id: Option<LetterId>,
    /// Only those of this cause.
    pub cause: Option<String>,
}

impl LetterQuery {
    /// Whether a letter is meant.
    #[must_use]
    pub fn means(&self, letter: &StoredLetter) -> bool {
        self.id.as_ref().is_none_or(|id| *id == letter.id)
            && self.cause.as_ref().is_none_or(|cause| *cause == letter.cause)
    }
}

/// Walks through letters, and removes some. All of it blocks.
pub trait LetterReader {
    /// A walk begins: it meets each letter that is meant and is there now, once. What is written from now on
    /// is not met, above all what was put back and failed again: a walk that met it would never end.
    ///
    /// # Errors
    /// The broker does not answer, or not like that.
    fn begin(&mut self, query: &LetterQuery) -> Result<(), OpenError>;

    /// The next page of the walk, of one letter at least and `limit` at most; an empty one at its end.
    ///
    /// # Errors
    /// The broker or the books do not answer, or not like that.
    fn next(&mut self, limit: usize) -> Result<Vec<StoredLetter>, OpenError>;

    /// These are put back, wherever they were kept: what comes of them is no letter of the walk.
    fn goes_back(&mut self, _letters: &[StoredLetter]) {}

    /// Removes letters of the page that was given last; how many were still there.
    ///
    /// # Errors
    /// The broker or the books do not answer, or not like that.
    fn remove(&mut self, letters: &[StoredLetter]) -> Result<u64, OpenError>;

    /// The walk is over, at its end or before. What is held for it is held no longer.
    fn end(&mut self) {}
}

/// Hears what a reader of letters says while it works.
pub trait Listener {
    /// A line for people: a note, a warning.
    fn line(&self, line: &str);

    /// So many of so many were looked at; both are the same when that is over.
    fn looked_at(&self, count: u64, all: u64);
}
