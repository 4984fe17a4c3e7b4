//! Envelopes: what other programs have put around what a handler is for.

pub(crate) mod base64;
mod celery;
pub(crate) mod cloudevents;
mod eventbridge;
pub(crate) mod json;
mod notifications;
pub(crate) mod pointer;
mod seen;
mod sns;

pub use pointer::Pointer;

use pelton_core::contain::Panicked;
use pelton_core::ports::{Counted, Decoded};
use pelton_core::{Message, shown::shown};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a message comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// A notification of Amazon SNS, as it stands in a queue of SQS; or the message itself, where raw
    /// delivery is on.
    Sns {
        /// A body without an envelope is taken as one of raw delivery.
        raw: bool,
    },
    /// An event of Amazon EventBridge.
    EventBridge,
    /// A CloudEvent, of whatever form.
    CloudEvents,
    /// A message of Celery.
    CeleryBase64,
    /// A pointer to an object in S3; or the message itself, where it is small.
    S3Pointer,
}

impl Envelope {
    /// Its word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sns { .. } => "sns",
            Self::EventBridge => "eventbridge",
            Self::CloudEvents => "cloudevents",
            Self::CeleryBase64 => "celery-base64",
            Self::S3Pointer => "s3-pointer",
        }
    }
}

/// What was found in one.
pub enum Opened {
    /// There was none: the handler sees the message as it is.
    AsItIs,
    /// The handler sees this.
    Seen(Message),
    /// The handler sees what is there.
    Object(Pointer),
    /// A notification that says nothing but that notifications arrive.
    Skipped,
    /// It is not what the pipeline is told to expect, or is damaged.
    Invalid(String),
}

impl From<Opened> for Decoded {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::AsItIs => Self::AsItIs,
            Opened::Seen(message) => Self::Seen(message),
            Opened::Object(pointer) => Self::Invalid(format!("{} was not read", pointer.describe())),
            Opened::Skipped => Self::Nothing,
            Opened::Invalid(why) => Self::Invalid(why),
        }
    }
}

/// Opens the envelopes of one pipeline, and counts.
#[derive(Debug)]
pub struct Opening {
    envelope: Envelope,
    skipped: AtomicU64,
    raw: AtomicU64,
}

impl Opening {
    /// What comes in such an envelope is opened.
    #[must_use]
    pub fn new(envelope: Envelope) -> Self {
        Self { envelope, skipped: AtomicU64::new(0), raw: AtomicU64::new(0) }
    }

    /// What a handler would see of a message, where that is known without asking anybody and is not the
    /// message itself. Nothing is counted.
    #[must_use]
    pub fn seen(&self, message: &Message) -> Option<Message> {
        let opened = catch_unwind(AssertUnwindSafe(|| self.opened(message)));
        match opened {
            Ok(Opened::Seen(seen)) => Some(seen),
            Ok(Opened::AsItIs | Opened::Object(_) | Opened::Skipped | Opened::Invalid(_)) | Err(_) => None,
        }
    }

    /// What is in one. Works on what is there, and asks nobody.
    pub(crate) fn open(&self, message: &Message) -> Opened {
        // A fault of ours in one message is that message's: the others go on.
        let opened = catch_unwind(AssertUnwindSafe(|| self.opened(message)));
        let opened = opened.unwrap_or_else(|payload| {
            Opened::Invalid(format!("its envelope cannot be opened: {}", Panicked::of(payload)))
        });
        let counter = match &opened {
            Opened::Skipped => Some(&self.skipped),
            Opened::AsItIs if matches!(self.envelope, Envelope::Sns { .. }) => Some(&self.raw),
            Opened::AsItIs | Opened::Seen(_) | Opened::Object(_) | Opened::Invalid(_) => None,
        };
        if let Some(counter) = counter
            && counter.fetch_add(1, Ordering::Relaxed) == 0
        {
            self.said_once(message, &opened);
        }
        opened
    }

    fn opened(&self, message: &Message) -> Opened {
        // What ends a key of a topic has no value, and so no envelope but in headers.
        if message.tombstone() && self.envelope != Envelope::CloudEvents {
            return Opened::AsItIs;
        }
        let opened = match self.envelope {
            Envelope::Sns { raw } => sns::open(message, raw),
            Envelope::EventBridge => eventbridge::open(message),
            Envelope::CloudEvents => cloudevents::open(message),
            Envelope::CeleryBase64 => celery::open(message),
            Envelope::S3Pointer => pointer::open(message),
        };
        opened.unwrap_or_else(Opened::Invalid)
    }

    /// What is left out, or taken for something, is said of the first.
    fn said_once(&self, message: &Message, opened: &Opened) {
        let (pipeline, message_id) = (message.pipeline(), message.id().to_string());
        let message_id = shown(&message_id).to_string();
        match opened {
            Opened::Skipped => tracing::info!(
                pipeline,
                message_id,
                "a test notification was acknowledged, and no handler sees it; `decode_skipped` counts them"
            ),
            _ => tracing::info!(
                pipeline,
                message_id,
                "a message without an envelope of SNS is taken as one of raw delivery; `decode_raw` counts \
                 them, and `raw = false` refuses them"
            ),
        }
    }

    /// What it has counted so far.
    pub(crate) fn counted(&self) -> Counted {
        let counted = |name, counter: &AtomicU64| (name, counter.load(Ordering::Relaxed));
        vec![counted("decode_skipped", &self.skipped), counted("decode_raw", &self.raw)]
    }
}

#[cfg(test)]
mod tests;
