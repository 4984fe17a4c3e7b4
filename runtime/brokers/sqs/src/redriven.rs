//! Dead letters that are left to the redrive policy of the queue that is read.

use pelton_core::Letter;
use pelton_core::ports::{BoxFuture, DeadLetters, ErrorClass};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Messages that could not be read, and are remembered.
const MOST_UNREAD: usize = 10_000;

/// No letters: what is given up on is noted, so that it is not handled again, and left to the queue's
/// policy. The reason is in the log only.
pub struct Redriven {
    pipeline: String,
    noted: Arc<dyn DeadLetters>,
    /// Messages that could not be read: the ledger has no place for them, and they come again too.
    unread: Mutex<BTreeSet<String>>,
}

impl Redriven {
    /// `noted` notes that a message was given up on.
    pub fn new(pipeline: &str, noted: Arc<dyn DeadLetters>) -> Self {
        Self { pipeline: pipeline.to_owned(), noted, unread: Mutex::default() }
    }

    /// Whether this one was given up on before, as far as anybody remembers.
    fn knows(&self, letter: &Letter) -> bool {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if unread.len() >= MOST_UNREAD {
            unread.clear();
        }
        letter.identity.is_none() && !unread.insert(letter.message.id().to_string())
    }
}

impl DeadLetters for Redriven {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let known: Vec<bool> = batch.iter().map(|letter| self.knows(letter)).collect();
        let news = batch.into_iter().zip(&known).filter(|(_, known)| !**known).map(|(letter, _)| letter);
        let news: Vec<Letter> = news.collect();
        for letter in &news {
            tracing::warn!(
                pipeline = self.pipeline,
                message_id = &*letter.message.id().text(),
                cause = letter.cause.as_str(),
                attempts = letter.attempts,
                "given up on, and left to the queue's redrive policy: {}",
                letter.reason
            );
        }
        Box::pin(async move {
            let mut noted = self.noted.publish(news).await.into_iter();
            let result =
                |known| if known { Ok(()) } else { noted.next().unwrap_or(Err(ErrorClass::Transient)) };
            known.into_iter().map(result).collect()
        })
    }
}
