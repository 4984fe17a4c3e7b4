//! One message, named by a person who gives up on it.

use super::{Books, PipelineView};
use crate::Delivery;
use crate::pipeline::Named;
use crate::ports::{Scope, Source};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

/// Finds single messages of a source. Its words for what is no message, or none that can be given up on,
/// are said as they are.
pub trait FindMessage {
    /// What the pipeline knows the message by.
    ///
    /// # Errors
    /// When the text names none, or the books cannot number what it names.
    fn named(&self, wanted: &WantedMessage) -> Result<Named, String>;

    /// What the ledger knows it by, where its producer has given it no id. A text that names nothing is
    /// given back.
    fn ledger_key(&self, text: &str) -> String;

    /// What numbers the messages that a text may mean, as their source tells it to a ledger that is shared:
    /// of one that is a place that of the place, of any other all there are. None of a queue that only this
    /// data directory has. Asks the broker where only that knows. Blocks.
    ///
    /// # Errors
    /// The broker does not answer, or not like that.
    fn scopes(&self, text: &str) -> Result<Vec<Scope>, String>;

    /// Looks for a message that the pipeline does not hold. Blocks.
    ///
    /// # Errors
    /// Why it is not given up on: it is not there, is done with, or is somebody else's.
    fn look(&self, wanted: &WantedMessage) -> Result<Look, String>;
}

/// The message that is looked for.
#[derive(Clone)]
pub struct WantedMessage {
    /// As it was typed.
    pub text: String,
    /// How long it may take to come.
    pub wait: Duration,
    /// A worker runs the pipeline.
    pub runs: bool,
    /// The pipeline that it is of.
    pub pipeline: PipelineView,
    /// Its books.
    pub books: Arc<dyn Books>,
}

/// What a look at the broker came to.
#[derive(Debug)]
pub enum Look {
    /// It is there, and can be given up on.
    Here(FoundMessage),
    /// It is the running worker's, or will be: it is waited for.
    Comes,
}

/// A message that can be given up on.
pub struct FoundMessage {
    /// What its letter is made of.
    pub content: FoundContent,
    /// What is left to do once its letter is durable.
    pub after: AfterLetter,
}

impl Debug for FoundMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundMessage").finish_non_exhaustive()
    }
}

/// Settles a message whose letter is durable. What is to be said beside. Blocks.
pub type AfterLetter = Box<dyn FnOnce() -> Result<Option<String>, String> + Send>;

/// What is known of a message that was found.
pub enum FoundContent {
    /// It was read already.
    Read {
        /// It, as its source would hand it over.
        delivery: Box<Delivery>,
        /// Its letter settles it, in one transaction.
        shares_ledger: bool,
    },
    /// It is still to be read, if it can be.
    Unread {
        /// Brings it, and nothing else.
        source: Arc<dyn Source>,
        /// Its place, for a letter without it where the source brings nothing.
        bare: Box<Delivery>,
        /// Why nothing was read, as that letter says it. `Err` when that may pass: what can be read is not
        /// given up on unread.
        why: Box<dyn Fn() -> Result<String, String> + Send + Sync>,
    },
}

impl FoundMessage {
    /// A message that was read, and is settled by `after`.
    #[must_use]
    pub fn read(delivery: Delivery, after: AfterLetter) -> Self {
        let delivery = Box::new(delivery);
        Self { content: FoundContent::Read { delivery, shares_ledger: false }, after }
    }
}
