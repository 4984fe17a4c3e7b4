//! A message that somebody gives up on. The service gives none by its id: a worker skips it as it comes, and
//! without one it is received among others, which go back.

use crate::SqsConfig;
use crate::convert::instance;
use pelton_core::Delivery;
use pelton_core::broker::{AfterLetter, FindMessage, FoundMessage, Look, WantedMessage};
use pelton_core::pipeline::Named;
use pelton_core::ports::Scope;

/// Others that are received at most before it is given up on: what they were received counts for them.
const OTHERS: usize = 1_000;

impl FindMessage for SqsConfig {
    /// By the service's id of it, or by its producer's.
    fn named(&self, wanted: &WantedMessage) -> Result<Named, String> {
        let text = &wanted.text;
        let is_given = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if is_given {
            return Ok(Named { instance: Some(instance(text)), ..Named::default() });
        }
        Ok(Named { id: Some(text.clone()), ..Named::default() })
    }

    fn ledger_key(&self, text: &str) -> String {
        text.to_owned()
    }

    fn scopes(&self, _: &str) -> Result<Vec<Scope>, String> {
        Ok(vec![self.queue.url.as_str().into()])
    }

    fn look(&self, wanted: &WantedMessage) -> Result<Look, String> {
        if wanted.runs {
            return Ok(Look::Comes);
        }
        let (text, wait) = (&wanted.text, wanted.wait);
        let found = self.queue.open()?.find(text, &self.options(&wanted.pipeline), wait, OTHERS)?;
        let found = found.ok_or_else(|| {
            format!(
                "the queue {} did not give the message {text} within {wait:?}: it may wait for a retry, or \
                 be with another worker; --wait takes longer",
                self.queue.name()
            )
        })?;
        let (lane, receives) = (found.lane, found.receives);
        let delivery =
            Delivery { lane, receives, instance: Some(instance(text)), ..Delivery::of(found.message) };
        let (queue, handle) = (self.queue.clone(), found.handle);
        let after: AfterLetter = Box::new(move || queue.open()?.remove(&[handle]).map(|_| None));
        Ok(Look::Here(FoundMessage::read(delivery, after)))
    }
}
