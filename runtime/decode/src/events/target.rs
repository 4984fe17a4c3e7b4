//! A target of the outbox whose messages are events.

use super::form::{self, Form, Unsaid, Wrapped};
use super::{now_ms, source_of};
use pelton_core::broker::{BooksError, Diagnosis, OpenError, OutboxTarget, Outgoing, Published, Publisher};
use pelton_core::effects::StagedMessage;
use std::borrow::Cow;
use std::sync::Arc;

/// The type of an event of which the handler says none.
const TYPE: &str = "pelton.message";

/// Sends events to where `target` sends messages.
#[derive(Debug)]
pub struct EventTarget {
    target: Arc<dyn OutboxTarget>,
    form: Form,
    source: String,
}

impl EventTarget {
    /// For what `pipeline` sends.
    #[must_use]
    pub fn new(target: Arc<dyn OutboxTarget>, form: Form, pipeline: &str) -> Self {
        Self { target, form, source: source_of(pipeline) }
    }
}

impl OutboxTarget for EventTarget {
    fn describe(&self) -> String {
        self.target.describe()
    }

    fn system(&self) -> &'static str {
        self.target.system()
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>().is_some_and(|other| {
            self.form == other.form && self.source == other.source && self.target.is_same(&*other.target)
        })
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        if let Some(why) = form::refused(&message.headers) {
            return Some(why);
        }
        let unsaid = unsaid(&self.source, &message.id);
        let Some(Wrapped { headers, body }) =
            form::wrap(self.form, &unsaid, &message.headers, &message.body)
        else {
            return self.target.cannot_carry(message);
        };
        let body = body.unwrap_or_else(|| message.body.clone());
        self.target.cannot_carry(&StagedMessage { headers, body, ..message.clone() })
    }

    fn longest_delay_ms(&self) -> u64 {
        self.target.longest_delay_ms()
    }

    fn most(&self) -> usize {
        self.target.most()
    }

    fn probe(&self) -> Vec<String> {
        self.target.probe()
    }

    fn diagnose(&self) -> Diagnosis {
        self.target.diagnose()
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        let publisher = self.target.publisher()?;
        Ok(Box::new(Events { publisher, form: self.form, source: self.source.clone() }))
    }
}

fn unsaid(source: &str, id: &str) -> Unsaid {
    Unsaid { id: id.to_owned(), source: source.to_owned(), kind: TYPE, time_ms: now_ms(), more: Vec::new() }
}

struct Events {
    publisher: Box<dyn Publisher>,
    form: Form,
    source: String,
}

impl Publisher for Events {
    fn check(&mut self) -> Result<(), pelton_core::broker::Unsent> {
        self.publisher.check()
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let batch: Vec<Outgoing<'_>> = batch.iter().map(|message| self.event(message)).collect();
        self.publisher.publish(&batch)
    }
}

impl Events {
    /// One message as an event, with its id of the outbox: a repetition has it too.
    fn event<'m>(&self, message: &'m Outgoing<'_>) -> Outgoing<'m> {
        let unsaid = unsaid(&self.source, message.outbox_id().unwrap_or_default());
        let same = message.borrowed();
        let Some(Wrapped { headers, body }) =
            form::wrap(self.form, &unsaid, &message.headers, message.bytes())
        else {
            return same;
        };
        let body = body.map(Cow::Owned).or(same.body);
        Outgoing { headers: Cow::Owned(headers), body, ..same }
    }
}
