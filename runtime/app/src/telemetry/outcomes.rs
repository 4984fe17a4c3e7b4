//! What became of each start of a handler, as log events: for who tries a handler out, not for a worker
//! under load.

use crate::harness::told;
use pelton_core::ports::{BoxFuture, Counted, Decoded, Decoder, Handler, Report, Work};
use pelton_core::{Message, Outcome};
use std::sync::Arc;

/// What `PELTON_LOG` calls them.
pub const TARGET: &str = "outcome";

/// The handler itself, or one that tells, where such events are wanted.
pub fn logged(handler: Arc<dyn Handler>) -> Arc<dyn Handler> {
    if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        Arc::new(Telling(handler))
    } else {
        handler
    }
}

/// The same of a decoder: what no handler sees has an outcome too.
pub fn decoded(decoder: Arc<dyn Decoder>) -> Arc<dyn Decoder> {
    if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        Arc::new(TellingDecoder(decoder))
    } else {
        decoder
    }
}

struct Telling(Arc<dyn Handler>);

struct TellingDecoder(Arc<dyn Decoder>);

impl Decoder for TellingDecoder {
    fn decode(&self, messages: Vec<Message>) -> BoxFuture<'_, Vec<Decoded>> {
        Box::pin(async move {
            let names = messages.clone();
            let decoded = self.0.decode(messages).await;
            names.iter().zip(&decoded).for_each(|(message, decoded)| undelivered(message, decoded));
            decoded
        })
    }

    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    fn counted(&self) -> Counted {
        self.0.counted()
    }
}

fn undelivered(message: &Message, decoded: &Decoded) {
    let (word, reason) = match decoded {
        Decoded::AsItIs | Decoded::Seen(_) => return,
        Decoded::Nothing => ("skipped", None),
        Decoded::Invalid(why) => ("invalid", Some(why.as_str())),
    };
    tracing::debug!(
        target: TARGET, pipeline = %message.pipeline(), message_id = %message.id(), outcome = word, reason,
        "decoded"
    );
}

impl Handler for Telling {
    fn digest(&self) -> Arc<str> {
        self.0.digest()
    }

    fn max_chunk(&self) -> usize {
        self.0.max_chunk()
    }

    fn takes_batches(&self) -> bool {
        self.0.takes_batches()
    }

    fn chunk_us(&self) -> u64 {
        self.0.chunk_us()
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let names = work.clone();
        let telling: Report = Box::new(move |digest, settled| {
            settled.iter().for_each(|(place, outcome)| event(&names[*place], outcome));
            report(digest, settled);
        });
        self.0.handle(work, telling)
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn isolated_handle(&self) -> Option<Arc<dyn Handler>> {
        self.0.isolated_handle().map(|handler| Arc::new(Self(handler)) as Arc<dyn Handler>)
    }
}

fn event(work: &Work, outcome: &Outcome) {
    // Not an outcome of the message: it is started again.
    if matches!(outcome, Outcome::NotStarted | Outcome::BatchFault | Outcome::Interrupted) {
        return;
    }
    let (word, reason, after_ms) = told(outcome);
    let message = &work.message;
    tracing::debug!(
        target: TARGET, pipeline = %message.pipeline(), message_id = %message.id(), attempt = work.attempt,
        outcome = word, after_ms, reason, "handled"
    );
}
