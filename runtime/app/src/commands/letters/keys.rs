//! What the ledger knows the messages of letters by. A letter has the message as its broker had it, and a key
//! is looked for in what the handler sees: so it is decoded once more.

use super::refused::is_of_outbox;
use crate::config::PipelineConfig;
use crate::exit::Fail;
use crate::harness::Decoding;
use pelton_core::letter::StoredLetter;
use pelton_core::ports::Decoded;
use pelton_core::{Channel, HeaderList, Message, Name, Parts};
use pelton_decode::Opening;
use pelton_store::digest;
use std::cell::OnceCell;
use std::sync::Arc;

/// A letter, and what the ledger knows its message by; none where it is not asked for, or cannot be read.
pub type KeyedLetter = (StoredLetter, Option<Vec<u8>>);

/// Finds the keys of a pipeline's letters.
pub struct LetterKeys<'c> {
    pipeline: &'c PipelineConfig,
    /// What has to be asked, or have schemas, to see what a handler sees. Made for the first letter.
    decoding: OnceCell<Option<Decoding>>,
    /// Why it does not say. It is asked no more then: each letter would wait for it.
    silent: OnceCell<String>,
}

impl<'c> LetterKeys<'c> {
    pub fn of(pipeline: &'c PipelineConfig) -> Self {
        Self { pipeline, decoding: OnceCell::new(), silent: OnceCell::new() }
    }

    /// What the ledger knows each letter's message by; none when it cannot be read from it. Blocks.
    ///
    /// # Errors
    /// Who has to be asked does not answer.
    pub fn ledger_keys(&self, letters: &[StoredLetter]) -> Result<Vec<Option<Vec<u8>>>, Fail> {
        let messages = self.seen(letters)?;
        let key = |message: &Message| {
            let key = self.pipeline.dedup.of(message, digest).ok();
            key.map(|key| key.bytes().into_owned())
        };
        Ok(messages.iter().map(key).collect())
    }

    /// The same of one, as `pelton ledger` takes it. No ledger knows what a handler has sent. Where nobody
    /// says it, that is said, and it is none.
    pub fn shown(&self, letter: &StoredLetter) -> Option<String> {
        if is_of_outbox(&letter.id) {
            return None;
        }
        let knew = self.silent.get().is_some();
        match self.seen(std::slice::from_ref(letter)) {
            Ok(seen) => {
                let key = self.pipeline.dedup.of(seen.first()?, digest).ok();
                key.map(|key| key.shown())
            }
            Err(why) => {
                if !knew {
                    note!("warning: the dedup keys of letters are not known: {}", why.words());
                }
                None
            }
        }
    }

    /// The messages as their handler would see them.
    fn seen(&self, letters: &[StoredLetter]) -> Result<Vec<Message>, Fail> {
        let messages: Vec<Message> = letters.iter().map(|letter| self.message(letter)).collect();
        let Some(decoding) = self.decoding()? else {
            let opening = self.pipeline.decode.envelope.map(Opening::new);
            let seen = |message: &Message| opening.as_ref().and_then(|opening| opening.seen(message));
            return Ok(messages.into_iter().map(|message| seen(&message).unwrap_or(message)).collect());
        };
        if let Some(why) = self.silent.get() {
            return Err(Fail::refused(why));
        }
        let decoded = decoding.decode(messages.clone()).inspect_err(|why| {
            self.silent.get_or_init(|| why.words());
        })?;
        let seen = |(message, decoded)| match decoded {
            Decoded::Seen(seen) => seen,
            Decoded::AsItIs | Decoded::Nothing | Decoded::Invalid(_) => message,
        };
        Ok(messages.into_iter().zip(decoded).map(seen).collect())
    }

    /// None where an envelope alone makes the difference, or nothing does.
    fn decoding(&self) -> Result<Option<&Decoding>, Fail> {
        if !self.pipeline.dedup.is_of_content() || !self.pipeline.decode.makes_another_body() {
            return Ok(None);
        }
        if let Some(made) = self.decoding.get() {
            return Ok(made.as_ref());
        }
        let made = Decoding::of(self.pipeline)?;
        Ok(self.decoding.get_or_init(|| made).as_ref())
    }

    fn message(&self, letter: &StoredLetter) -> Message {
        Message::new(Parts {
            channel: &Arc::new(Channel::new(&self.pipeline.name, &letter.origin)),
            name: Name::Text(&letter.message_id),
            key: letter.key.as_deref(),
            headers: letter.headers.iter().collect::<HeaderList>().view(),
            body: &letter.body,
            published_at_ms: letter.published_at_ms,
            replayed: false,
            tombstone: letter.tombstone,
        })
    }
}
