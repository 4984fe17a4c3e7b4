//! A message of a queue of SQS. The service gives none by its id: a worker skips it as it comes, and
//! without one it is received among others, which go back.

use super::one::{After, Found, one};
use super::{Look, Place};
use crate::commands::brokers::sqs::desk;
use pelton_core::pipeline::Named;
use pelton_sqs::{SqsConfig, instance};

/// Others that are received at most before it is given up on: what they were received counts for them.
const OTHERS: usize = 1_000;

/// By the service's id of it, or by its producer's.
pub fn named(text: &str) -> Named {
    let is_given = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if is_given {
        return Named { instance: Some(instance(text)), ..Named::default() };
    }
    Named { id: Some(text.to_owned()), ..Named::default() }
}

pub fn look(place: &Place, sqs: &SqsConfig) -> Result<Look, String> {
    if place.runs {
        return Ok(Look::Comes);
    }
    let found = desk(&sqs.queue)?.find(
        &place.text,
        &sqs.options(&place.config.view(&place.pipeline)),
        place.wait,
        OTHERS,
    )?;
    let found = found.ok_or_else(|| {
        format!(
            "the queue {} did not give the message {} within {:?}: it may wait for a retry, or be with \
             another worker; --wait takes longer",
            sqs.queue.name(),
            place.text,
            place.wait
        )
    })?;
    let delivery = one(found.message, found.lane, found.receives, instance(&place.text));
    let (queue, handle) = (sqs.queue.clone(), found.handle);
    let after: After = Box::new(move || desk(&queue)?.remove(&[handle]).map(|_| None));
    Ok(Look::Here(Found::read(delivery, false, after)))
}
